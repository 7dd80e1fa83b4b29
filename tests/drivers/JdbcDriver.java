// The JDBC driver against protected tables; see tests/070_drivers.pl.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;

public class JdbcDriver {
    static String url;

    static Connection connect(String purpose) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", "regress_purpose_app");
        if (purpose != null)
            p.setProperty("options", "-c purpose.current=" + purpose);
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

    static List<String> column(ResultSet r) throws SQLException {
        List<String> result = new ArrayList<>();
        while (r.next())
            result.add(r.getString(1));
        return result;
    }

    static List<String> query(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            return column(s.executeQuery(sql));
        }
    }

    static void set(Connection c, String purpose) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute("SET purpose.current = '" + purpose + "'");
        }
    }

    public static void main(String[] args) throws Exception {
        url = args[0];
        inserts();
        prepared();
        fetchSize();
        copy();
        try (Connection c = connect(null)) {
            check("no purpose", sqlstate(() -> query(c, "SELECT id FROM customers")), "PU001");
        }
    }

    // New subjects, who have said nothing yet.
    static void inserts() throws SQLException {
        try (Connection c = connect("marketing")) {
            PreparedStatement s = c.prepareStatement(
                "INSERT INTO customers (name, email) VALUES (?, ?)", new String[] {"id"});
            for (int i = 0; i < 7; i++) {
                s.setString(1, "j" + i);
                s.setString(2, "j" + i + "@x.example");
                s.addBatch();
            }
            check("a batch of new subjects", s.executeBatch().length, 7);
            check("returns their keys", column(s.getGeneratedKeys()).size(), 7);

            s = c.prepareStatement("INSERT INTO customers (name, email) VALUES (?, ?)", new String[] {"id", "email"});
            s.setString(1, "k");
            s.setString(2, "k@x.example");
            s.executeUpdate();
            ResultSet keys = s.getGeneratedKeys();
            keys.next();
            check("generated columns that are named", keys.getString("email"), "k@x.example");
            check("are not visible afterwards", query(c, "SELECT id FROM customers WHERE email = 'k@x.example'"), "[]");

            // RETURN_GENERATED_KEYS asks for all columns of the table, phone too.
            PreparedStatement all = c.prepareStatement(
                "INSERT INTO customers (name, email) VALUES ('l', ?)", Statement.RETURN_GENERATED_KEYS);
            all.setString(1, "l@x.example");
            check("RETURN_GENERATED_KEYS is a use of all columns", sqlstate(() -> all.executeUpdate()), "PU005");
            set(c, "billing");
            check("which another purpose permits", all.executeUpdate(), 1);
            check("and then gives the key", column(all.getGeneratedKeys()).size(), 1);
            set(c, "marketing");

            s = c.prepareStatement("INSERT INTO customers (id, name, email) VALUES (?, 'u', ?)"
                + " ON CONFLICT (id) DO UPDATE SET name = excluded.name");
            int changed = 0;
            for (int id : new int[] {1, 2, 9001}) {
                s.setLong(1, id);
                s.setString(2, "e" + id + "@x.example");
                s.addBatch();
            }
            for (int n : s.executeBatch())
                changed += n;
            check("a batch of upserts changes what is visible, and adds what is new", changed, 2);
        }
    }

    // The driver prepares a statement at the server when it runs the fifth time.
    static void prepared() throws SQLException {
        try (Connection c = connect("billing")) {
            PreparedStatement s = c.prepareStatement("SELECT phone FROM customers WHERE id = ?");
            PreparedStatement ids = c.prepareStatement("SELECT id FROM customers WHERE id <= ? ORDER BY id");
            List<String> got = null;

            s.setLong(1, 3);
            ids.setLong(1, 6);
            for (int i = 0; i < 8; i++) {
                got = column(s.executeQuery());
                column(ids.executeQuery());
            }
            check("a statement that runs often", got, "[+3]");
            check("is prepared", query(c, "SELECT count(*) >= 2 FROM pg_prepared_statements"), "[t]");
            set(c, "marketing");
            check("is refused when the purpose changes", sqlstate(() -> column(s.executeQuery())), "PU005");
            check("and gives other rows", column(ids.executeQuery()), "[1]");
            set(c, "billing");
            check("and is given when it changes back", column(s.executeQuery()), "[+3]");
            check("with the rows of then", column(ids.executeQuery()), "[1, 2, 3, 4, 6]");
        }
    }

    // Rows by two at a time, by a portal that is suspended in between.
    static void fetchSize() throws SQLException {
        try (Connection c = connect("billing")) {
            c.setAutoCommit(false);
            Statement s = c.createStatement();
            s.setFetchSize(2);
            ResultSet r = s.executeQuery("SELECT id FROM orders WHERE id <= 99");
            r.next();
            check("setFetchSize(2): the first row", r.getString(1), 10);
            set(c, "marketing");
            List<String> rest = column(r);
            check("what is fetched after the purpose changed", rest, "[20, 99]");
            c.rollback();

            set(c, "billing");
            PreparedStatement p = c.prepareStatement("SELECT phone FROM customers WHERE id <= 6");
            p.setFetchSize(2);
            List<String> all = null;
            for (int i = 0; i < 6; i++)
                all = column(p.executeQuery());
            all.sort(null);
            check("setFetchSize(2) reads all, time after time", all, "[+1, +2, +3, +4, +6]");
            ResultSet q = p.executeQuery();
            q.next();
            set(c, "marketing");
            check("a column that is permitted no more", sqlstate(() -> column(q)), "PU005");
            c.rollback();
        }
    }

    static void copy() throws Exception {
        try (Connection c = connect("marketing")) {
            org.postgresql.copy.CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
            StringWriter out = new StringWriter();

            check("COPY FROM", m.copyIn("COPY customers (id, name, email) FROM STDIN",
                new StringReader("9101\ta\ta@x.example\n9102\tb\tb@x.example\n")), 2);
            m.copyOut("COPY customers (id) TO STDOUT", out);
            check("COPY TO", out, "1\n");
        }
    }
}
