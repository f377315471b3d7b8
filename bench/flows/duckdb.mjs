// The peer: node duckdb.mjs FILE THREADS asks DuckDB's npm package for every source of a VPC flow log with more than 100
// distinct pairs of address and port, and prints them as JSON. The columns have the types that fit them best.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const { DuckDBInstance } = await import(pathToFileURL(createRequire(process.cwd() + "/").resolve("@duckdb/node-api")).href);

const [file, threads] = process.argv.slice(2);
const db = await (await DuckDBInstance.create(":memory:", { threads })).connect();
const quoted = `'${file.replaceAll("'", "''")}'`;
const from = file.endsWith(".parquet") ? `read_parquet(${quoted})` : `read_csv(${quoted}, delim = ' ', header = true, auto_detect = false, quote = '', escape = '', columns = {
  version: 'UTINYINT', account: 'VARCHAR', interface: 'VARCHAR', srcaddr: 'VARCHAR', dstaddr: 'VARCHAR', srcport: 'USMALLINT', dstport: 'USMALLINT',
  protocol: 'UTINYINT', packets: 'BIGINT', bytes: 'BIGINT', "start": 'BIGINT', "end": 'BIGINT', action: 'VARCHAR', status: 'VARCHAR' })`;
const sql = process.env.SQL ?? `SELECT srcaddr, count(DISTINCT hash(dstaddr, dstport)) AS targets, count(*) FILTER (action = 'REJECT') AS rejects
  FROM ${from} GROUP BY srcaddr HAVING targets > 100`;
const rows = (await db.runAndReadAll(sql.replace("FROM_FILE", from))).getRowsJson();
console.log(JSON.stringify(rows.map((r) => r[0])));
