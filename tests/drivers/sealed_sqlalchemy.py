"""SQLAlchemy's ORM and sealed columns; see tests/072_sealed_drivers.pl."""
import datetime
import decimal
import sys

import psycopg2
from sqlalchemy import BigInteger, Column, Date, Numeric, Text, create_engine, event, func, select, text
from sqlalchemy.orm import Session, declarative_base
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy.types import UserDefinedType

from check import check, sqlstate

Base = declarative_base()
SEALED = ("name", "mail", "pay", "born")


class Sealed(UserDefinedType):
    """A sealed column, given as text: the value or its envelope."""

    cache_ok = True

    def get_col_spec(self, **kw):
        return "purpose.sealed_text"


class Person(Base):
    """The model of an application that knows of sealing: columns are text."""

    __tablename__ = "people"
    id = Column(BigInteger, primary_key=True, autoincrement=False)
    name = Column(Sealed)
    mail = Column(Sealed)
    pay = Column(Sealed)
    born = Column(Sealed)


engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(sys.argv[1]))


def session(purpose):
    """A session whose every transaction declares its purpose."""
    s = Session(engine, expire_on_commit=False)

    @event.listens_for(s, "after_begin")
    def declare(session, transaction, connection):
        connection.execute(select(func.set_config("purpose.current", purpose, True)))

    return s


def values(p):
    return tuple(getattr(p, c) for c in SEALED)


def stored():
    """What is stored, as its envelopes."""
    with session("billing") as s:
        s.execute(text("SET LOCAL purpose.sealed_output = 'envelope'"))
        return s.execute(text("SELECT id, name, mail, pay, born FROM people ORDER BY id")).fetchall()


def opened(id):
    with session("billing") as s:
        return tuple(s.execute(text("SELECT name::text, mail::text, pay::numeric, born::date FROM people WHERE id = :id"), dict(id=id)).fetchone())


ANN = ("ann", "ann@x.example", decimal.Decimal("12.50"), datetime.date(1980, 2, 29))

with session("billing") as s:
    s.add(Person(id=1, name="ann", mail="ann@x.example", pay="12.50", born="1980-02-29"))
    s.add_all([Person(id=i, name="n%d" % i, mail="m%d@x.example" % i, pay=str(i), born="2000-01-01") for i in (2, 3)])
    s.commit()
check("objects are inserted", opened(1), ANN)
check("as envelopes", all(v.startswith("purpose:1:") for row in stored() for v in row[1:]), True)

with session("billing") as s:
    check("get()", values(s.get(Person, 1)), ("ann", "ann@x.example", "12.50", "1980-02-29"))
    check("a query by a searchable column", [p.id for p in s.query(Person).filter(Person.mail == "m2@x.example")], [2])
    check("by several values", [p.id for p in s.query(Person).filter(Person.mail.in_(["m2@x.example", "m3@x.example"])).order_by(Person.id)], [2, 3])
    check("by a sealed column", [p.id for p in s.query(Person).filter(Person.name == "n3")], [3])
with session("shipping") as s:
    check("which finds nothing for another purpose", s.query(Person).filter(Person.mail == "m2@x.example").count(), 0)

# One attribute: the others keep their envelopes.
before = stored()
with session("billing") as s:
    s.get(Person, 2).name = "changed"
    s.commit()
after = stored()
check("an update of one attribute", opened(2)[0], "changed")
check("seals that", before[1].name == after[1].name, False)
check("and leaves all others as they were", (before[0], before[1][2:], before[2]), (after[0], after[1][2:], after[2]))


def write_back(purpose):
    """The whole object, all columns, as an ORM without change detection does."""
    with session(purpose) as s:
        p = s.get(Person, 1)
        for c in SEALED:
            flag_modified(p, c)
        shown = values(p)
        s.commit()
    return shown


before = stored()
check("a session that may open writes the whole object back", write_back("billing"), ("ann", "ann@x.example", "12.50", "1980-02-29"))
check("nothing is lost", opened(1), ANN)
check("and it is sealed once", len(stored()[0].name), len(before[0].name))

before = stored()
shown = write_back("shipping")
check("one that may not open is shown envelopes", all(v.startswith("purpose:1:") for v in shown), True)
check("and writes back the same ones", stored(), before)
check("so nothing is lost", opened(1), ANN)
for _ in range(3):
    write_back("shipping")
check("however often it does", stored(), before)

with session("shipping") as s:
    p = s.get(Person, 1)
    detached = dict(id=1, **dict(zip(SEALED, values(p))))
with session("shipping") as s:
    s.merge(Person(**detached))
    s.commit()
check("merge() of such an object", opened(1), ANN)
with session("shipping") as s:
    p = s.get(Person, 1)
    p.name = "anna"
    for c in SEALED[1:]:
        flag_modified(p, c)
    s.commit()
check("one changed attribute among envelopes", opened(1), ("anna",) + ANN[1:])

# What another purpose copies from one person to another opens for nobody.
with session("shipping") as s:
    a, b = s.get(Person, 1), s.get(Person, 3)
    b.name = a.name
    state = sqlstate(s.commit)
    s.rollback()
check("a value of another person is not given away", state, "PU016")
check("and what was there stays", opened(3)[0], "n3")

# Purposes that change between reading and writing.
with session("billing") as s:
    p = s.get(Person, 2)
    s.commit()
    detached = values(p)
with session("shipping") as s:
    p = Person(id=2, **dict(zip(SEALED, detached)))
    s.merge(p)
    s.commit()
check("what was read open, and is written closed, is sealed again", opened(2)[:2], ("changed", "m2@x.example"))
check("and nothing is stored in clear", all(v.startswith("purpose:1:") for row in stored() for v in row[1:]), True)
