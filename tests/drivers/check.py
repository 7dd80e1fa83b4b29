"""What the driver programs share: assertions that tests/070_drivers.pl counts."""


def check(name, got, expected):
    """Prints one line: ok or not ok."""
    if got == expected:
        print("ok - " + name)
    else:
        print("not ok - %s: got %r, expected %r" % (name, got, expected))


def sqlstate(call, *args, **kwargs):
    """The SQLSTATE that a call ends with, None if it ends well."""
    try:
        call(*args, **kwargs)
    except Exception as e:
        e = getattr(e, "orig", None) or e
        state = getattr(e, "sqlstate", None) or getattr(e, "pgcode", None)
        if state is None:
            raise
        return state
    return None
