// The JDBC driver and sealed columns; see tests/072_sealed_drivers.pl.
import java.math.BigDecimal;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.postgresql.util.PGobject;

public class SealedJdbcDriver {
    static String url;

    static Connection connect(String purpose, String... more) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", "regress_purpose_app");
        p.setProperty("options", "-c purpose.current=" + purpose);
        for (int i = 0; i < more.length; i += 2)
            p.setProperty(more[i], more[i + 1]);
        return DriverManager.getConnection(url, p);
    }

    static void check(String name, Object got, Object expected) {
        if (String.valueOf(got).equals(String.valueOf(expected)))
            System.out.println("ok - " + name);
        else
            System.out.println("not ok - " + name + ": got " + got + ", expected " + expected);
    }

    interface Action { void run() throws SQLException; }

    static String sqlstate(Action action) {
        try {
            action.run();
            return null;
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }

    static List<String> row(ResultSet r) throws SQLException {
        List<String> result = new ArrayList<>();
        if (r.next())
            for (int i = 1; i <= r.getMetaData().getColumnCount(); i++)
                result.add(r.getString(i));
        return result;
    }

    static List<String> query(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            return row(s.executeQuery(sql));
        }
    }

    static final String BASE = "SELECT name::text, mail::text, born::date, pay::numeric, extra::jsonb FROM people WHERE id = ";
    static final String ROW = "[%s, %s@x.example, 1980-02-29, 12.50, {\"a\": 1}]";

    static boolean closed(List<String> row) {
        for (String s : row)
            if (s == null || !s.startsWith("purpose:1:"))
                return false;
        return !row.isEmpty();
    }

    public static void main(String[] args) throws Exception {
        url = args[0];
        binding();
        prepared();
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared"})
            mode(mode);
        updatable();
    }

    static void bind(PreparedStatement s, int id, String name, String mail) throws SQLException {
        s.setLong(1, id);
        s.setString(2, name);
        s.setString(3, mail);
        s.setDate(4, Date.valueOf("1980-02-29"));
        s.setBigDecimal(5, new BigDecimal("12.50"));
        PGobject json = new PGobject();
        json.setType("jsonb");
        json.setValue("{\"a\": 1}");
        s.setObject(6, json);
    }

    static final String INSERT = "INSERT INTO people (id, name, mail, born, pay, extra) VALUES (?, ?, ?, ?, ?, ?)";

    static void binding() throws SQLException {
        try (Connection c = connect("billing"); Connection other = connect("shipping");
             Connection untyped = connect("billing", "stringtype", "unspecified")) {
            PreparedStatement s = c.prepareStatement(INSERT);
            bind(s, 1, "ann", "ann@x.example");
            check("setString, setDate, setBigDecimal, setObject", s.executeUpdate(), 1);
            check("come back", query(c, BASE + 1), String.format(ROW, "ann", "ann"));
            s = untyped.prepareStatement(INSERT);
            bind(s, 2, "bob", "bob@x.example");
            s.executeUpdate();
            check("with stringtype=unspecified, too", query(c, BASE + 2), String.format(ROW, "bob", "bob"));
            s = c.prepareStatement("INSERT INTO people (id, name, mail, born, pay) VALUES (?, ?, ?, ?, ?)");
            s.setObject(1, 3L);
            s.setObject(2, "cleo");
            s.setObject(3, "cleo@x.example");
            s.setObject(4, java.time.LocalDate.of(1980, 2, 29));
            s.setObject(5, new BigDecimal("12.50"));
            s.executeUpdate();
            check("setObject of each type", query(c, BASE + 3), "[cleo, cleo@x.example, 1980-02-29, 12.50, null]");
            s.setObject(1, 4L);
            s.setNull(2, Types.VARCHAR);
            s.setObject(3, "dan@x.example", Types.VARCHAR);
            s.setNull(4, Types.DATE);
            s.setNull(5, Types.NUMERIC);
            s.executeUpdate();
            check("setNull", query(c, BASE + 4), "[null, dan@x.example, null, null, null]");

            s = c.prepareStatement(INSERT);
            for (int i = 10; i < 30; i++) {
                bind(s, i, "n" + i, "n" + i + "@x.example");
                s.addBatch();
            }
            check("a batch", s.executeBatch().length, 20);
            check("brings each its own", query(c, BASE + 29), String.format(ROW, "n29", "n29"));
            try (Connection rewriting = connect("billing", "reWriteBatchedInserts", "true")) {
                s = rewriting.prepareStatement(INSERT);
                for (int i = 30; i < 50; i++) {
                    bind(s, i, "n" + i, "n" + i + "@x.example");
                    s.addBatch();
                }
                s.executeBatch();
                check("one that the driver rewrites", query(c, BASE + 49), String.format(ROW, "n49", "n49"));
            }
            s = c.prepareStatement("INSERT INTO people (id, name) VALUES (50, 'key')", Statement.RETURN_GENERATED_KEYS);
            s.executeUpdate();
            ResultSet keys = s.getGeneratedKeys();
            keys.next();
            check("RETURN_GENERATED_KEYS", keys.getString("name"), "key");

            // What is given back.
            Statement plain = c.createStatement();
            ResultSet r = plain.executeQuery("SELECT * FROM people WHERE id = 1");
            r.next();
            check("getString", r.getString("name") + " " + r.getString("mail"), "ann ann@x.example");
            check("getBigDecimal and getDate of a cast",
                bigDecimalAndDate(c), "12.50 1980-02-29");
            check("getObject", String.valueOf(r.getObject("name")), "ann");
            check("for another purpose: envelopes", closed(query(other, "SELECT name, mail, born, pay, extra FROM people WHERE id = 1")), true);
            check("and casts give NULL", query(other, BASE + 1), "[null, null, null, null, null]");
            r = other.createStatement().executeQuery("SELECT pay::numeric FROM people WHERE id = 1");
            r.next();
            check("which wasNull() tells", r.getBigDecimal(1) + " " + r.wasNull(), "null true");

            s = c.prepareStatement("INSERT INTO people (id, tags) VALUES (60, ?::text[])");
            s.setArray(1, c.createArrayOf("text", new Object[] {"a", "b, c"}));
            s.executeUpdate();
            check("an array", query(c, "SELECT tags[2]::text FROM people WHERE id = 60"), "[b, c]");
            check("closed for another purpose", query(other, "SELECT tags[2]::text FROM people WHERE id = 60"), "[null]");
        }
    }

    static String bigDecimalAndDate(Connection c) throws SQLException {
        try (Statement s = c.createStatement()) {
            ResultSet r = s.executeQuery("SELECT pay::numeric, born::date FROM people WHERE id = 1");
            r.next();
            return r.getBigDecimal(1) + " " + r.getDate(2);
        }
    }

    // The driver prepares a statement at the server when it runs the fifth
    // time, and asks for binary results from then on.
    static void prepared() throws SQLException {
        for (String threshold : new String[] {"-1", "0", "1", "5"}) {
            try (Connection c = connect("billing", "prepareThreshold", threshold)) {
                String with = "prepareThreshold=" + threshold + ": ";
                PreparedStatement find = c.prepareStatement("SELECT id, name, born::date, pay::numeric FROM people WHERE mail = ?");
                List<String> got = null;

                find.setString(1, "ann@x.example");
                for (int i = 0; i < 8; i++)
                    got = row(find.executeQuery());
                check(with + "a search that runs often", got, "[1, ann, 1980-02-29, 12.50]");
                PreparedStatement update = c.prepareStatement("UPDATE people SET name = ?, pay = ? WHERE mail = ?");
                for (int i = 0; i < 8; i++) {
                    update.setString(1, "ann");
                    update.setBigDecimal(2, new BigDecimal("12.50"));
                    update.setString(3, "ann@x.example");
                    update.executeUpdate();
                }
                check(with + "an update", query(c, BASE + 1), String.format(ROW, "ann", "ann"));
                c.createStatement().execute("SET purpose.current = 'shipping'");
                check(with + "finds nothing when the purpose changes", row(find.executeQuery()), "[]");
                c.createStatement().execute("SET purpose.current = 'billing'");
                check(with + "and finds it again", row(find.executeQuery()), "[1, ann, 1980-02-29, 12.50]");
            }
        }
    }

    static void mode(String mode) throws SQLException {
        try (Connection c = connect("billing", "preferQueryMode", mode)) {
            PreparedStatement s = c.prepareStatement("UPDATE people SET name = ?, born = ?, pay = ? WHERE mail = ?");
            s.setString(1, "it's \\");
            s.setDate(2, Date.valueOf("1980-02-29"));
            s.setBigDecimal(3, new BigDecimal("12.50"));
            s.setString(4, "bob@x.example");
            check(mode + ": an update", s.executeUpdate(), 1);
            check(mode + ": comes back", query(c, "SELECT name::text, pay::numeric FROM people WHERE id = 2"), "[it's \\, 12.50]");
        }
    }

    // updateRow() writes the columns that were changed; an application that
    // writes all of them back, those that it cannot read among them, loses none.
    static void updatable() throws SQLException {
        try (Connection c = connect("billing"); Connection other = connect("shipping")) {
            ResultSet r = c.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE)
                .executeQuery("SELECT id, name, mail FROM people WHERE id = 10");
            r.next();
            r.updateString("name", "updated");
            r.updateRow();
            check("an updatable ResultSet", query(c, BASE + 10), "[updated, n10@x.example, 1980-02-29, 12.50, {\"a\": 1}]");
            check("shows what it wrote", r.getString("name"), "updated");

            List<String> before = query(other, "SELECT name, mail FROM people WHERE id = 10");
            r = other.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE)
                .executeQuery("SELECT id, name, mail FROM people WHERE id = 10");
            r.next();
            r.updateString("name", r.getString("name"));
            r.updateString("mail", r.getString("mail"));
            r.updateRow();
            check("envelopes that are written back", query(other, "SELECT name, mail FROM people WHERE id = 10"), before);
            check("lose nothing", query(c, BASE + 10), "[updated, n10@x.example, 1980-02-29, 12.50, {\"a\": 1}]");
            PreparedStatement s = other.prepareStatement("UPDATE people SET name = ?, mail = ? WHERE id = 10");
            s.setString(1, before.get(0));
            s.setString(2, before.get(1));
            for (int i = 0; i < 8; i++)
                s.executeUpdate();
            check("also by a statement that is prepared", query(other, "SELECT name, mail FROM people WHERE id = 10"), before);

            r = c.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE)
                .executeQuery("SELECT id, name, mail FROM people WHERE id = 10");
            r.moveToInsertRow();
            r.updateLong("id", 70);
            r.updateString("name", "inserted");
            r.insertRow();
            check("insertRow()", query(c, "SELECT name::text FROM people WHERE id = 70"), "[inserted]");
            check("a duplicate of a searchable value", sqlstate(() -> query(c,
                "INSERT INTO people (id, mail) VALUES (71, 'ann@x.example') RETURNING id")), "23505");
        }
    }
}
