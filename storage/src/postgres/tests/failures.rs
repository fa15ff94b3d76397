//! Servers, connections and privileges that are not what they should be.

use super::proxy::Proxy;
use super::*;

const ROWS: &str = "SELECT id FROM t ORDER BY id";

/// Opens by way of a proxy.
fn through(place: &Place<'_>, proxy: &Proxy) -> PostgresStorage {
    let mut params = place.tcp("127.0.0.1", proxy.port);
    params.insert("SslMode".to_owned(), "prefer".into());
    open(&params, &run("r1")).unwrap()
}

#[test]
fn a_lost_answer_to_a_commit_that_was_made() {
    let Some(server) = Server::new(false) else { return };
    let place = Place::on(&server);
    let proxy = Proxy::new(server.port);
    let mut storage = through(&place, &proxy);
    let table = put(&mut storage, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, None)])).unwrap();
    proxy.lose_answer();
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    assert!(proxy.is_calm());
    assert_eq!(place.query(ROWS), ["1", "2"]);
    // The run goes on, with its claim.
    let error = open(&place.params, &run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }), "{error}");
    storage.write(table, &rows(&[(3, None)])).unwrap();
    proxy.lose_answer();
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("3"))]), None).unwrap();
    assert!(proxy.is_calm());
    assert_eq!(place.query(ROWS), ["1", "2", "3"]);
    assert_eq!(place.state(), state(&[("t", "3")]));
    assert_eq!(place.query("SELECT status, commits, rows FROM _ow_runs"), ["succeeded 3 {\"t\":3}"]);
}

#[test]
fn a_commit_that_never_arrived() {
    let Some(server) = Server::new(false) else { return };
    let place = Place::on(&server);
    let proxy = Proxy::new(server.port);
    for (run_number, last) in [(1, false), (2, true)] {
        let mut storage = through(&place, &proxy);
        put(&mut storage, &people(0), WriteMode::Append, &rows(&[(run_number, None)]));
        proxy.lose_commit();
        let error = if last {
            storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap_err()
        } else {
            storage.commit(&changes(&[("t", Some("1"))])).unwrap_err()
        };
        assert!(proxy.is_calm());
        assert!(matches!(error, StorageError::Failed { retryable: true, .. }), "{error}");
        assert!(error.to_string().contains("the connection to database"), "{error}");
        assert!(error.to_string().contains("what was not committed is dropped, run again"), "{error}");
        if !last {
            storage.finish(Outcome::Failed, &none(), Some("lost")).unwrap();
        }
        assert_eq!(place.query("SELECT to_regclass('t')"), ["null"]);
        assert_eq!(place.state(), BTreeMap::new());
    }
    assert_eq!(place.query("SELECT status FROM _ow_runs"), ["failed", "failed"]);
    place.load(&people(0), WriteMode::Append, &[rows(&[(7, None)])]).unwrap();
    assert_eq!(place.query(ROWS), ["7"]);
}

#[test]
fn rows_that_replace_a_table_are_missed_when_their_session_is_lost() {
    let Some(server) = Server::new(false) else { return };
    let place = Place::on(&server);
    let proxy = Proxy::new(server.port);
    place.load(&people(0), WriteMode::Replace, &[rows(&[(1, None)])]).unwrap();
    let mut storage = through(&place, &proxy);
    put(&mut storage, &people(0), WriteMode::Replace, &rows(&[(2, None)]));
    let other = TableSchema { name: "u".into(), ..people(0) };
    put(&mut storage, &other, WriteMode::Append, &rows(&[(3, None)]));
    proxy.lose_answer();
    let error = storage.commit(&changes(&[("u", Some("1"))])).unwrap_err();
    assert!(
        error.to_string().contains("the rows that were to replace table `t` went with the connection"),
        "{error}"
    );
    storage.finish(Outcome::Failed, &none(), Some(&error.to_string())).unwrap();
    // What was committed is committed, together with its state.
    assert_eq!(place.query(ROWS), ["1"]);
    assert_eq!(place.query("SELECT id FROM u"), ["3"]);
    assert_eq!(place.state(), state(&[("u", "1")]));
}

#[test]
fn a_session_that_is_ended_in_mid_run() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, Some(&"x".repeat(5 << 20)))])).unwrap();
    place.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ow-host r1' AND datname = current_database()");
    let error = storage.commit(&changes(&[("t", Some("2"))])).unwrap_err();
    assert!(matches!(error, StorageError::Failed { retryable: true, .. }), "{error}");
    // In the server's words, if they came through before the connection broke.
    assert!(error.to_string().ends_with("what was not committed is dropped, run again"), "{error}");
    storage.finish(Outcome::Failed, &none(), Some(&error.to_string())).unwrap();
    assert_eq!(place.query(ROWS), ["1"]);
    assert_eq!(place.state(), state(&[("t", "1")]));
    assert_eq!(place.query("SELECT status, rows FROM _ow_runs"), ["failed {\"t\":1}"]);
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, None)])]).unwrap();
    assert_eq!(place.query(ROWS), ["1", "2"]);
}

#[test]
fn a_server_that_crashes_in_mid_run() {
    let Some(mut server) = Server::new(true) else { return };
    let database = server.database();
    let place = Place::on_existing(&server, &database);
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    for info in [run("r1"), refresh("r2")] {
        let place = Place::on_existing(&server, &database);
        let mut storage = place.open_as(&info);
        let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(2, None)]));
        storage.commit(&changes(&[("t", Some("2"))])).unwrap();
        storage.write(table, &rows(&[(3, Some(&"x".repeat(5 << 20)))])).unwrap();
        server.crash();
        let error = storage.finish(Outcome::Succeeded, &changes(&[("t", Some("3"))]), None).unwrap_err();
        assert!(matches!(error, StorageError::Failed { retryable: true, .. }), "{error}");
        drop(storage);
        server.start();
        let place = Place::on_existing(&server, &database);
        assert_eq!(place.query(ROWS), ["1", "2"]);
        assert_eq!(place.state(), state(&[("t", "2")]));
        drop(place.open_as(&run("next")));
        let status = format!("SELECT DISTINCT status FROM _ow_runs WHERE run_id = '{}'", info.run_id);
        assert_eq!(place.query(&status), ["crashed"]);
    }
}

#[test]
fn a_user_without_privileges() {
    let Some(place) = Place::new() else { return };
    place.execute(
        "CREATE ROLE reader_only LOGIN; CREATE SCHEMA kept; GRANT USAGE ON SCHEMA kept TO reader_only",
    );
    let mut params = place.with("User", "reader_only");
    params.insert("Schema".to_owned(), "kept".into());
    let error = open(&params, &run("r")).err().unwrap();
    assert!(
        matches!(&error, StorageError::Config { parameter: Some(name), .. } if name == "User"),
        "{error}"
    );
    assert!(
        error.to_string().contains("user `reader_only` lacks a privilege: permission denied for schema kept"),
        "{error}"
    );
    let error = Postgres.reach(params.clone(), Path::new("/")).unwrap_err();
    assert!(error.to_string().contains("may not create tables in schema `kept`"), "{error}");
    params.insert("Schema".to_owned(), "new".into());
    let error = Postgres.reach(params.clone(), Path::new("/")).unwrap_err();
    assert!(error.to_string().contains("schema `new` is not in"), "{error}");
    assert!(open(&params, &run("r")).err().unwrap().to_string().contains("permission denied for database"));
    // A table that belongs to somebody else.
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    place.execute("ALTER TABLE t OWNER TO admin; REVOKE ALL ON t FROM loader");
    let error = place.load(&people(1), WriteMode::Merge, &[rows(&[(2, None)])]).unwrap_err();
    assert!(error.to_string().contains("permission denied for table t"), "{error}");
    place.execute("GRANT ALL ON t TO loader");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, None)])]).unwrap();
    let grown = stream("t", &[("id", DataType::Int64), ("more", DataType::Text)], 1);
    let error = place.load(&grown, WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("must be owner of table t"), "{error}");
    place.execute("DROP OWNED BY reader_only; DROP ROLE reader_only");
}

#[test]
fn a_user_who_may_only_read() {
    let Some(place) = Place::new() else { return };
    drop(place.open());
    let read_only = "SET default_transaction_read_only = on";
    place.execute(&format!("ALTER DATABASE {} {read_only}", place.database));
    let error = open(&place.params, &run("r")).err().unwrap();
    assert!(
        matches!(&error, StorageError::Config { parameter: Some(name), .. } if name == "Host"),
        "{error}"
    );
    assert!(error.to_string().contains("is read-only"), "{error}");
    let error = Postgres.reach(place.params.clone(), Path::new("/")).unwrap_err();
    assert!(error.to_string().contains("is read-only; set `Host` to the primary"), "{error}");
    assert_eq!(place.state(), BTreeMap::new(), "reading goes on");
}

#[test]
fn a_statement_that_takes_too_long() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[]).unwrap();
    place.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN new; END';
         CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let mut storage = open(&place.with("StatementTimeout", 1), &run("r")).unwrap();
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    let error = storage.commit(&none()).unwrap_err();
    assert!(matches!(error, StorageError::Failed { retryable: true, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot commit: canceling statement due to statement timeout; raise `StatementTimeout` if the server needs longer"
    );
    storage.finish(Outcome::Failed, &none(), None).unwrap();
    assert_eq!(place.query("SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn a_constraint_of_the_user() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[]).unwrap();
    place.execute("ALTER TABLE t ADD CONSTRAINT short CHECK (length(name) < 3)");
    let error = place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("long"))])]).unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }));
    assert!(
        error.to_string().starts_with(
            "rows of table `t` do not fit it: new row for relation \"t\" violates check constraint \"short\""
        ),
        "{error}"
    );
}

#[test]
fn a_newer_schema() {
    let Some(place) = Place::new() else { return };
    drop(place.open());
    place.execute("UPDATE _ow_version SET version = 99");
    let error = open(&place.params, &run("r")).err().unwrap();
    assert!(error.to_string().contains("was written by a newer ow-host"), "{error}");
}

#[test]
fn reading_state_creates_nothing() {
    let Some(place) = Place::new() else { return };
    let params = place.with("Schema", "nowhere");
    assert_eq!(Postgres.read_state(params.clone(), Path::new("/"), "dm").unwrap(), BTreeMap::new());
    let said = Postgres.reach(params, Path::new("/")).unwrap();
    assert!(said.contains("without TLS; schema `nowhere` will be created"), "{said}");
    assert_eq!(place.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'nowhere'"), ["0"]);
    let mut storage = place.open();
    storage.commit(&changes(&[("k", Some("1"))])).unwrap();
    assert_eq!(place.state(), state(&[("k", "1")]));
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
}
