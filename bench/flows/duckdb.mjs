// The peer: node duckdb.mjs FILE THREADS [LIST] asks DuckDB's npm package about a VPC flow log. It prints every source with
// more than 100 distinct pairs of address and port, as JSON in one line. With a list of prefixes it does what
// `bartizan detect --intel` does as well: it looks up both ends of every record, and writes a row of JSON about every listed
// address that was met, with what is known of it. The columns have the types that fit them best. Of four ways to ask
// (reading the file twice, grouping sets, addresses as numbers in every row, this one) it is the fastest.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const { DuckDBInstance } = await import(pathToFileURL(createRequire(process.cwd() + "/").resolve("@duckdb/node-api")).href);

const [file, threads, list] = process.argv.slice(2);
const db = await (await DuckDBInstance.create(":memory:", { threads })).connect();
const quoted = (name) => `'${name.replaceAll("'", "''")}'`;
const from = file.endsWith(".parquet") ? `read_parquet(${quoted(file)})` : `read_csv(${quoted(file)}, delim = ' ', header = true, auto_detect = false, quote = '', escape = '', columns = {
  version: 'UTINYINT', account: 'VARCHAR', interface: 'VARCHAR', srcaddr: 'VARCHAR', dstaddr: 'VARCHAR', srcport: 'USMALLINT', dstport: 'USMALLINT',
  protocol: 'UTINYINT', packets: 'BIGINT', bytes: 'BIGINT', "start": 'BIGINT', "end": 'BIGINT', action: 'VARCHAR', status: 'VARCHAR' })`;
const fan = `count(DISTINCT hash(dstaddr, dstport)) AS targets, count(*) FILTER (action = 'REJECT') AS rejects`;
const run = async (sql) => (await db.runAndReadAll(sql)).getRowsJson();

if (process.env.EXPORT) { // the same records as Parquet
  await db.run(`COPY (SELECT version, account AS account_id, interface AS interface_id, * EXCLUDE (version, account, interface, status), status AS log_status FROM ${from}) TO ${quoted(process.env.EXPORT)} (FORMAT parquet, COMPRESSION zstd)`);
} else if (!list) {
  const rows = await run(`SELECT srcaddr, ${fan} FROM ${from} GROUP BY srcaddr HAVING targets > 100`);
  console.log(JSON.stringify(rows.map((r) => r[0])));
} else {
  await db.run(`CREATE MACRO ip(a) AS ((split_part(a, '.', 1)::UINTEGER << 24) | (split_part(a, '.', 2)::UINTEGER << 16) | (split_part(a, '.', 3)::UINTEGER << 8) | split_part(a, '.', 4)::UINTEGER)::UBIGINT`);
  // Only the widest of nested prefixes: then the one that begins last before an address is the one that holds it, or none does.
  await db.run(`CREATE TEMP TABLE list AS SELECT prefix, lo, hi FROM (
    SELECT prefix, lo, hi, max(hi) OVER (ORDER BY lo, hi DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM (
      SELECT prefix, lo, lo + (1::UBIGINT << (32 - bits)) - 1 AS hi FROM (
        SELECT prefix, ip(split_part(prefix, '/', 1)) AS lo, split_part(prefix, '/', 2)::UTINYINT AS bits
        FROM read_csv(${quoted(list)}, header = false, auto_detect = false, delim = ' ', quote = '', escape = '', columns = { prefix: 'VARCHAR' })))) WHERE before IS NULL OR before < lo`);
  await db.run(`SET preserve_insertion_order = false`);
  await db.run(`CREATE TEMP TABLE flows AS SELECT srcaddr, dstaddr, dstport, packets, bytes, "start", "end", action FROM ${from}`);
  const sums = `count(*) AS records, sum(packets) AS packets, sum(bytes) AS bytes, min("start") AS first, max("end") AS newest`;
  await db.run(`CREATE TEMP TABLE ends AS SELECT srcaddr AS address, 'source' AS side, ${fan}, ${sums} FROM flows GROUP BY srcaddr`);
  const rows = await run(`SELECT address FROM ends WHERE targets > 100`);
  await db.run(`INSERT INTO ends SELECT dstaddr, 'target', 0, 0, ${sums} FROM flows GROUP BY dstaddr`);
  console.log(JSON.stringify(rows.map((r) => r[0])));
  await db.run(`COPY (SELECT * EXCLUDE (lo, hi, n) FROM (SELECT *, ip(address) AS n FROM ends) AS e ASOF JOIN list ON e.n >= list.lo WHERE e.n <= list.hi) TO '/dev/stdout' (FORMAT json)`);
}
