// Reads a lake with DuckDB's own npm package: node duckdb.mjs LAKE prints, as JSON, the rows of each class and a few values.
import { DuckDBInstance } from "@duckdb/node-api";

const [lake] = process.argv.slice(2);
const db = await (await DuckDBInstance.create(":memory:")).connect();
const ask = async (sql) => (await db.runAndReadAll(sql)).getRowObjectsJson();
const files = (cls) => `read_parquet('${lake.replaceAll("'", "''")}/class=${cls}/**/*.parquet', hive_partitioning = true, union_by_name = true)`;

const out = { classes: {} };
for (const { cls } of await ask(`SELECT DISTINCT regexp_extract(file, 'class=([a-z]+)', 1) AS cls FROM glob('${lake.replaceAll("'", "''")}/**/*.parquet') ORDER BY 1`)) {
  const [row] = await ask(`SELECT count(*)::INTEGER AS n, any_value(day)::VARCHAR AS day, any_value(hour)::INTEGER AS hour FROM ${files(cls)}`);
  out.classes[cls] = row;
}
[out.auth] = await ask(`SELECT src_endpoint.ip AS ip, "user".name AS name, unmapped.password AS password, epoch_ms(time)::VARCHAR AS time FROM ${files("auth")}`);
[out.http] = await ask(`SELECT http_request.url.path AS path, http_request.http_headers[1].name AS header FROM ${files("http")}`);
console.log(JSON.stringify(out));
