-- The records that both variants are loaded with, by their number from 0.
-- psql's variable "records" says how many; ten belong to each user.
--
-- What a user objects to (obj, dec) is the same in all of his records, and who
-- may use a record (acl) is a matter of its purpose: else it could not be said
-- of persons and purposes.
CREATE VIEW loaded_records AS
SELECT 'user' || lpad(i::text, 10, '0') AS key,
	   'processing.p' || lpad((i % 25)::text, 2, '0') AS pur,
	   date '2030-01-01' + i % 1000 AS ttl,
	   'person' || lpad((i / 10)::text, 8, '0') AS usr,
	   'processing.o' || lpad((i / 10 % 100)::text, 2, '0') AS obj,
	   CASE WHEN i / 10 % 2 = 0 THEN 'allow' ELSE 'disallow' END AS dec,
	   'bench_processor' AS acl,
	   'recipient' || i % 7 AS shr,
	   'source' || i % 5 AS src,
	   'category' || i % 8 AS cat,
	   rpad('data of record ' || i, 100, '+') AS data
FROM generate_series(0, :records - 1) i;
