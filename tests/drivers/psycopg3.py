"""psycopg 3 against protected tables; see tests/070_drivers.pl."""
import sys

import psycopg

from check import check, sqlstate

DSN = sys.argv[1]


def connect(purpose, **kwargs):
    return psycopg.connect(DSN, options="-cpurpose.current=" + purpose, **kwargs)


def column(cursor):
    return [row[0] for row in cursor]


# New subjects, who have said nothing yet: every way in works.
with connect("marketing", autocommit=True) as conn:
    cur = conn.cursor()
    cur.execute("INSERT INTO customers (name, email) VALUES (%s, %s) RETURNING id, name, email", ("p1", "p1@x.example"))
    row = cur.fetchone()
    check("INSERT ... RETURNING gives the new row of a subject without consent", row[1:], ("p1", "p1@x.example"))
    check("who is not visible afterwards", column(cur.execute("SELECT id FROM customers WHERE id = %s", (row[0],))), [])
    cur.executemany(
        "INSERT INTO customers (name, email) VALUES (%s, %s) RETURNING name",
        [("p%d" % i, "p%d@x.example" % i) for i in (2, 3)],
        returning=True,
    )
    names = [cur.fetchone()[0]]
    while cur.nextset():
        names.append(cur.fetchone()[0])
    check("executemany() with RETURNING", names, ["p2", "p3"])
    upsert = (
        "INSERT INTO customers (id, name, email) VALUES (%s, %s, %s)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id"
    )
    check("an upsert of a visible row changes it", column(cur.execute(upsert, (1, "up", "e1@x.example"))), [1])
    check("an upsert of a hidden row does not", column(cur.execute(upsert, (3, "up", "e3@x.example"))), [])
    with cur.copy("COPY customers (id, name, email) FROM STDIN") as copy:
        copy.write_row((501, "c1", "c1@x.example"))
        copy.write_row((502, "c2", "c2@x.example"))
    check("COPY FROM brings subjects without consent", cur.rowcount, 2)
    with cur.copy("COPY customers (id, name) TO STDOUT") as copy:
        check("COPY TO gives those with consent only", [bytes(b) for b in copy], [b"1\tup\n"])

# Statements that the driver prepares by itself, after five times.
with connect("billing", autocommit=True) as conn:
    phone = "SELECT phone FROM customers WHERE id = %s"
    got = [column(conn.execute(phone, (2,))) for _ in range(8)]
    check("a statement that runs often", got, [["+2"]] * 8)
    check("is prepared", column(conn.execute("SELECT count(*) > 0 FROM pg_prepared_statements WHERE statement LIKE '%phone%'")), [True])
    conn.execute("SET purpose.current = 'marketing'")
    check("and refused when the purpose changes", sqlstate(conn.execute, phone, (2,)), "PU005")
    conn.execute("SET purpose.current = 'billing'")
    check("and given when it changes back", column(conn.execute(phone, (2,))), ["+2"])
    check("in binary, too", column(conn.execute(phone, (2,), binary=True)), ["+2"])
    try:
        conn.execute("SET purpose.current = 'marketing'")
        conn.execute("SELECT phone FROM customers")
    except psycopg.Error as e:
        check("the error brings a hint", bool(e.diag.message_hint), True)
        check("and no data", "+2" in str(e), False)

# A cursor of the server's, by two rows, across a change of purpose.
with connect("billing") as conn:
    cur = conn.cursor(name="c")
    cur.itersize = 2
    cur.execute("SELECT id FROM orders")
    check("a named cursor", [r[0] for r in cur.fetchmany(2)], [10, 20])
    conn.execute("SET LOCAL purpose.current = 'marketing'")
    check("follows the purpose", [r[0] for r in cur.fetchall()], [99])
with connect("billing") as conn:
    cur = conn.cursor(name="c", withhold=True)
    check("a cursor WITH HOLD is refused", sqlstate(cur.execute, "SELECT id FROM orders"), "PU007")

# Many statements on their way.
with connect("billing", autocommit=True) as conn:
    with conn.pipeline():
        first = conn.execute("SELECT count(*) FROM customers WHERE id <= 6")
        conn.execute("SET purpose.current = 'marketing'")
        second = conn.execute("SELECT count(*) FROM customers WHERE id <= 6")
    check("a pipeline is judged statement by statement", (first.fetchone()[0], second.fetchone()[0]), (5, 1))
    with conn.transaction():
        conn.execute("SET LOCAL purpose.current = 'billing'")
        check("a purpose for one transaction", conn.execute("SELECT count(*) FROM customers WHERE id <= 6").fetchone()[0], 5)
    check("ends with it", conn.execute("SELECT count(*) FROM customers WHERE id <= 6").fetchone()[0], 1)
