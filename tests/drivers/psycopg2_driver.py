"""psycopg2 against protected tables; see tests/070_drivers.pl."""
import io
import sys

import psycopg2
import psycopg2.extras

from check import check, sqlstate

DSN = sys.argv[1]


def connect(purpose):
    return psycopg2.connect(DSN, options="-cpurpose.current=" + purpose)


conn = connect("marketing")
cur = conn.cursor()
rows = psycopg2.extras.execute_values(
    cur,
    "INSERT INTO customers (id, name, email) VALUES %s RETURNING id",
    [(600 + i, "q%d" % i, "q%d@x.example" % i) for i in range(3)],
    fetch=True,
)
check("execute_values() with RETURNING", rows, [(600,), (601,), (602,)])
cur.copy_expert("COPY customers (id, name, email) FROM STDIN", io.StringIO("610\tr\tr@x.example\n"))
check("COPY FROM", cur.rowcount, 1)
out = io.StringIO()
cur.copy_expert("COPY customers (id) TO STDOUT", out)
check("COPY TO", out.getvalue(), "1\n")
cur.execute("UPDATE customers SET name = 'z' WHERE id IN (1, 2)")
check("UPDATE changes visible rows only", cur.rowcount, 1)
cur.execute("DELETE FROM orders WHERE id IN (30, 40)")
check("DELETE removes visible rows only", cur.rowcount, 0)
conn.commit()

named = conn.cursor(name="n")
named.execute("SELECT id FROM items")
check("a named cursor", [r[0] for r in named], [100, 990])
conn.rollback()
check("a column that the purpose does not permit", sqlstate(cur.execute, "SELECT phone FROM customers"), "PU005")
conn.rollback()
cur.execute("SET purpose.current = 'billing'")
cur.execute("SELECT phone FROM customers WHERE id = 3")
check("and one that does", cur.fetchall(), [("+3",)])
conn.close()

conn = psycopg2.connect(DSN)
check("no purpose", sqlstate(conn.cursor().execute, "SELECT id FROM customers"), "PU001")
conn.close()
