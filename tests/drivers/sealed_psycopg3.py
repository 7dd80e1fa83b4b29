"""psycopg 3 and sealed columns; see tests/072_sealed_drivers.pl."""
import datetime
import decimal
import sys

import psycopg
from psycopg.types.json import Jsonb

from check import check, sqlstate

DSN = sys.argv[1]
BORN = datetime.date(1980, 2, 29)


def connect(purpose, **kwargs):
    return psycopg.connect(DSN, options="-cpurpose.current=" + purpose, autocommit=True, **kwargs)


def one(conn, sql, params=None, **kwargs):
    return conn.execute(sql, params, **kwargs).fetchone()


def closed(value):
    """Is this an envelope, as text or as its bytes?"""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b"purpose:1:" in bytes(value) or len(bytes(value)) >= 48
    return isinstance(value, str) and value.startswith("purpose:1:")


INSERT = "INSERT INTO people (id, name, mail, born, pay, extra) VALUES (%s, %s, %s, %s, %s, %s)"
BASE = "SELECT name::text, mail::text, born::date, pay::numeric, extra::jsonb FROM people WHERE id = %s"


def person(i):
    return (i, "name%d" % i, "mail%d@x.example" % i, BORN, decimal.Decimal("12.50"), Jsonb({"n": i}))


def expected(i):
    return ("name%d" % i, "mail%d@x.example" % i, BORN, decimal.Decimal("12.50"), {"n": i})


with connect("billing") as conn, connect("shipping") as other:
    conn.execute(INSERT, person(1))
    check("values bound at the server come back in their own types", one(conn, BASE, (1,)), expected(1))
    check("in binary, too", one(conn, BASE, (1,), binary=True), expected(1))
    client = psycopg.ClientCursor(conn)
    client.execute(INSERT, person(2))
    check("values bound by the client", client.execute(BASE, (2,)).fetchone(), expected(2))
    cur = conn.cursor()
    cur.executemany(INSERT, [person(i) for i in range(3, 13)])
    check("executemany()", cur.rowcount, 10)
    check("brings each its own", one(conn, BASE, (12,)), expected(12))
    with conn.pipeline():
        conn.execute(INSERT, person(13))
        got = conn.execute("SELECT name::text FROM people WHERE id = 13")
    check("a pipeline", got.fetchone(), ("name13",))

    check("without a cast, text shows the value", one(conn, "SELECT name, mail, pay FROM people WHERE id = 1"), ("name1", "mail1@x.example", "12.50"))
    check("another purpose is shown envelopes", [closed(v) for v in one(other, "SELECT name, mail, pay FROM people WHERE id = 1")], [True] * 3)
    check("in binary, too", [closed(v) for v in one(other, "SELECT name, mail, pay FROM people WHERE id = 1", binary=True)], [True] * 3)
    check("casts give it NULL", one(other, BASE, (1,)), (None,) * 5)
    check("in binary, too", one(other, BASE, (1,), binary=True), (None,) * 5)
    values = [bytes(v) if not isinstance(v, str) else v.encode() for v in one(other, "SELECT name, mail FROM people WHERE id = 1", binary=True)]
    check("in which nothing is readable", [b"name1" in values[0], b"mail1" in values[1]], [False, False])

    # Searching.
    find = "SELECT id FROM people WHERE mail = %s"
    check("a search by a parameter", one(conn, find, ("mail5@x.example",)), (5,))
    check("by one that the driver prepares", [one(conn, find, ("mail5@x.example",)) for _ in range(8)], [(5,)] * 8)
    check("by one that the client binds", client.execute(find, ("mail5@x.example",)).fetchone(), (5,))
    some = "SELECT id FROM people WHERE mail IN (SELECT unnest(%s::text[])) ORDER BY id"
    check("by a list", [r[0] for r in conn.execute(some, (["mail5@x.example", "mail7@x.example"],))], [5, 7])
    check("by a value that is only sealed", one(conn, "SELECT id FROM people WHERE name = %s", ("name6",)), (6,))
    check("by a date and a number", one(conn, "SELECT count(*) FROM people WHERE born = %s AND pay = %s", (BORN, decimal.Decimal("12.5"))), (13,))
    check("a search for another purpose finds nothing", one(other, find, ("mail5@x.example",)), None)
    check("a duplicate of a searchable value is refused", sqlstate(conn.execute, INSERT, (99, "x", "mail5@x.example", None, None, None)), "23505")
    try:
        conn.execute(INSERT, (99, "secret-x", "mail5@x.example", None, None, None))
    except psycopg.Error as e:
        check("by an error that quotes no value", "mail5" in str(e) or "secret-x" in str(e), False)

    # A statement that is prepared, across a change of the purpose.
    name = "SELECT name::text FROM people WHERE id = %s"
    check("a statement that runs often", [one(conn, name, (2,)) for _ in range(8)], [("name2",)] * 8)
    conn.execute("SET purpose.current = 'shipping'")
    check("is closed by another purpose", one(conn, name, (2,)), (None,))
    conn.execute("SET purpose.current = 'billing'")
    check("and opens again", one(conn, name, (2,)), ("name2",))

    # What is shown can be written back, whoever does it, in text and binary.
    shown = one(other, "SELECT name, mail, pay FROM people WHERE id = 3")
    other.execute("UPDATE people SET name = %s, mail = %s, pay = %s WHERE id = 3", shown)
    check("envelopes that were shown may be written back", one(conn, BASE, (3,)), expected(3))
    check("and are not sealed again", one(other, "SELECT name, mail, pay FROM people WHERE id = 3"), shown)
    check("nor moved to somebody else", sqlstate(other.execute, "UPDATE people SET name = %s WHERE id = 4", shown[:1]), "PU016")
    check("who keeps what was there", one(conn, name, (4,)), ("name4",))
    other.execute("UPDATE people SET name = %s WHERE id = 4", ("written",))
    check("who may not read may write", one(conn, name, (4,)), ("written",))

    # NULL, the empty string, what has to be escaped.
    odd = "\\purpose:1: ' \" \\ \n \u00e4 \u20ac"
    for label, value in (("NULL", None), ("the empty string", ""), ("odd characters", odd), ("much", "much " * 100000)):
        conn.execute("UPDATE people SET name = %s WHERE id = 4", (value,))
        want = value[1:] if value == odd else value
        check(label, one(conn, "SELECT name::text, name IS NULL FROM people WHERE id = 4", binary=True), (want, value is None))
    check("text that only pretends to be an envelope is refused", sqlstate(conn.execute, "UPDATE people SET name = %s WHERE id = 4", ("purpose:1:x",)), "22P02")

    # COPY.
    with cur.copy("COPY people (id, name, mail, born) FROM STDIN") as copy:
        copy.write_row((21, "name21", "mail21@x.example", BORN))
        copy.write_row((22, None, None, None))
    check("COPY FROM seals", one(conn, "SELECT name::text, mail::text, born::date FROM people WHERE id = 21"), ("name21", "mail21@x.example", BORN))
    with cur.copy("COPY people (id, name, mail) TO STDOUT") as copy:
        data = b"".join(bytes(b) for b in copy)
    check("COPY of a table gives envelopes, even where they could be opened", (b"name21" in data, data.count(b"purpose:1:") > 20), (False, True))
    with cur.copy("COPY (SELECT name, mail FROM people WHERE id = 21) TO STDOUT") as copy:
        check("COPY of a query gives what the query gives", b"".join(bytes(b) for b in copy), b"name21\tmail21@x.example\n")
    with cur.copy("COPY people (id, name, mail) TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(b) for b in copy)
    check("in binary, too", b"name21" in data or b"mail21" in data, False)
    keep = conn.execute("SELECT id, name::text, mail::text FROM people WHERE mail IS NOT NULL ORDER BY id").fetchall()
    conn.execute("CREATE TEMPORARY TABLE away AS SELECT * FROM people WITH NO DATA")
    with other.cursor().copy("COPY people (id, name, mail) TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(b) for b in copy)
    conn.execute("DELETE FROM people")
    with cur.copy("COPY people (id, name, mail) FROM STDIN (FORMAT binary)") as copy:
        copy.write(data)
    check("and it can be loaded again", conn.execute("SELECT id, name::text, mail::text FROM people WHERE mail IS NOT NULL ORDER BY id").fetchall(), keep)

    # Arrays.
    conn.execute("INSERT INTO people (id, tags) VALUES (31, %s::text[])", (["a", None, "b, c"],))
    check("an array of sealed values", one(conn, "SELECT tags::text[] FROM people WHERE id = 31"), (["a", None, "b, c"],))
    check("as it is shown", one(conn, "SELECT tags::text FROM people WHERE id = 31"), ('{a,NULL,"b, c"}',))
    got = one(other, "SELECT tags[1]::text, tags[3]::text FROM people WHERE id = 31")
    check("is closed for another purpose", got, (None, None))

    # Cursors of the server's.
    with conn.transaction():
        named = conn.cursor(name="c")
        named.itersize = 2
        named.execute("SELECT name::text FROM people WHERE id IN (1, 2, 3) ORDER BY id")
        check("a named cursor", named.fetchmany(2), [("name1",), ("name2",)])
        conn.execute("SET LOCAL purpose.current = 'shipping'")
        check("follows the purpose", named.fetchall(), [(None,)])
