"""SQLAlchemy's ORM against protected tables; see tests/070_drivers.pl."""
import sys

import psycopg2
from sqlalchemy import BigInteger, Column, ForeignKey, Numeric, Text, create_engine, event, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, declarative_base, deferred, joinedload, relationship, selectinload
from sqlalchemy.orm.exc import StaleDataError

from check import check, sqlstate

Base = declarative_base()


class Customer(Base):
    __tablename__ = "customers"
    id = Column(BigInteger, primary_key=True)
    name = Column(Text)
    email = Column(Text)
    phone = deferred(Column(Text))
    orders = relationship("Order", back_populates="customer", order_by="Order.id")


class Order(Base):
    __tablename__ = "orders"
    id = Column(BigInteger, primary_key=True, autoincrement=False)
    customer_id = Column(BigInteger, ForeignKey("customers.id"))
    total = Column(Numeric)
    customer = relationship("Customer", back_populates="orders")


engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(sys.argv[1]))


def session(purpose):
    """A session whose every transaction declares its purpose."""
    s = Session(engine, expire_on_commit=False)

    @event.listens_for(s, "after_begin")
    def declare(session, transaction, connection):
        connection.execute(select(func.set_config("purpose.current", purpose, True)))

    return s


# New subjects, who have said nothing yet.
with session("marketing") as s:
    new = Customer(name="s1", email="s1@x.example", orders=[Order(id=7001, total=1)])
    s.add(new)
    s.flush()
    check("flush() of a new subject returns its key", new.id is not None, True)
    s.add_all([Customer(name="s%d" % i, email="s%d@x.example" % i) for i in (2, 3)])
    s.commit()
    check("what was added stays in the session", (new.name, new.orders[0].customer_id == new.id), ("s1", True))
    key = new.id
with session("marketing") as s:
    check("get() of a subject without consent", s.get(Customer, key), None)
    check("get() of a subject with consent", s.get(Customer, 1).email, "e1@x.example")
with session("billing") as s:
    check("get() for a contract", (s.get(Customer, key).name, s.get(Customer, key).phone), ("s1", None))

# Reading.
with session("marketing") as s:
    check("a query", [c.id for c in s.query(Customer).order_by(Customer.id)], [1])
    check("count()", s.query(Customer).count(), 1)
    check("relationships that load late", [o.id for o in s.get(Customer, 1).orders], [10])
with session("billing") as s:
    some = s.query(Customer).filter(Customer.id <= 6)
    ids = [1, 2, 3, 4, 6]
    check("by a join", [c.id for c in some.options(joinedload(Customer.orders)).order_by(Customer.id)], ids)
    check("by IN", [o.id for c in some.options(selectinload(Customer.orders)).order_by(Customer.id) for o in c.orders], [i * 10 for i in ids])
    check("the subject of an order", s.get(Order, 20).customer.phone, "+2")
    check("an order without subject", s.get(Order, 99).customer, None)
with session("marketing") as s:
    check("a column that loads late, and is not permitted", sqlstate(lambda: s.get(Customer, 1).phone), "PU005")

# merge() and upserts.
with session("marketing") as s:
    s.merge(Customer(id=1, name="merged", email="e1@x.example"))
    s.commit()
with session("billing") as s:
    check("merge() changes a visible row", s.get(Customer, 1).name, "merged")
    s.merge(Customer(id=8001, name="m1", email="m1@x.example"))
    s.commit()
    check("merge() adds a new one", s.get(Customer, 8001).name, "m1")
with session("marketing") as s:
    s.merge(Customer(id=2, name="merged", email="e2@x.example"))
    try:
        s.flush()
        check("merge() over a hidden row fails", True, False)
    except IntegrityError as e:
        check("merge() over a hidden row fails", e.orig.pgcode, "23505")
with session("marketing") as s:
    upsert = insert(Customer).on_conflict_do_update(index_elements=["id"], set_={"name": "upserted"}).returning(Customer.id)
    check("an upsert of a visible row", s.execute(upsert, dict(id=1, email="e1@x.example")).scalars().all(), [1])
    check("of a hidden one", s.execute(upsert, dict(id=2, email="e2@x.example")).scalars().all(), [])
    check("of a new one", s.execute(upsert, dict(id=8002, email="m2@x.example")).scalars().all(), [8002])
    s.commit()

# Columns that the purpose sees redacted.
def officer(label):
    with session("billing") as s:
        s.execute(select(func.public.relabel_phone(label)))
        s.commit()


officer("for billing else null")
with session("marketing") as s:
    c = s.get(Customer, 1)
    check("a column that is redacted", c.phone, None)
    check("it is not searched by", s.query(Customer).filter_by(phone="+1").count(), 0)
    c.name = "renamed"
    s.commit()
with session("billing") as s:
    check("an update of others leaves it alone", (s.get(Customer, 1).name, s.get(Customer, 1).phone), ("renamed", "+1"))
with session("marketing") as s:
    # An object of another session, or of a form: all that was read is written.
    write = Customer.__table__.update().where(Customer.id == 1)
    row = s.execute(select(Customer.name, Customer.email, Customer.phone).where(Customer.id == 1)).mappings().one()
    check("what was read cannot be written back", sqlstate(lambda: s.execute(write.values(**row))), "PU019")
    s.rollback()
    s.execute(write.values(phone="+100"))
    s.commit()
with session("billing") as s:
    check("but a new value can be written", s.get(Customer, 1).phone, "+100")
    s.get(Customer, 1).phone = "+1"
    s.commit()
officer("for billing never marketing")

# Changing what was read for a purpose that permitted it.
with session("billing") as s:
    c = s.get(Customer, 3)
    c.name = "changed"
    s.commit()
    check("an update", s.query(Customer.name).filter_by(id=3).scalar(), "changed")
with session("marketing") as s:
    s.add(c)
    c.name = "again"
    try:
        s.flush()
        check("an update of a row that is hidden now", True, False)
    except StaleDataError:
        check("an update of a row that is hidden now", True, True)
