//! Files and disks that do not do what they should.

use super::*;

fn failure(params: &SqliteParams) -> StorageError {
    open(params, &run("r")).err().unwrap()
}

fn at(place: &Place, name: &str) -> SqliteParams {
    SqliteParams { path: place.folder.path().join(name), table_prefix: String::new() }
}

#[test]
fn places_where_no_database_can_be() {
    let place = Place::new();
    let error = failure(&at(&place, "no/such/ow.db"));
    assert!(error.to_string().contains("does not exist; create it"), "{error}");
    assert!(matches!(error, StorageError::Config { parameter: Some(name), .. } if name == "Path"));
    std::fs::write(place.folder.path().join("file"), "x").unwrap();
    let error = failure(&at(&place, "file/ow.db"));
    assert!(error.to_string().contains("is not a folder"), "{error}");
    std::fs::create_dir(place.folder.path().join("folder.db")).unwrap();
    let error = failure(&at(&place, "folder.db"));
    assert!(error.to_string().contains("is a folder; set `Path` to a file in it"), "{error}");
}

#[test]
fn a_file_that_is_no_database() {
    let place = Place::new();
    std::fs::write(place.path(), "id,name\n1,a\n".repeat(100)).unwrap();
    let error = failure(&place.params);
    assert!(error.to_string().contains("is not an SQLite database; set `Path` to another file"), "{error}");
    let error = read_state(&place.params, "dm").unwrap_err();
    assert!(error.to_string().contains("is not an SQLite database"), "{error}");
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_damaged_database() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[100..].fill(0x5a);
    std::fs::write(place.path(), bytes).unwrap();
    let error = failure(&place.params);
    assert!(error.to_string().contains("is damaged; restore it from a backup"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_database_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[]).unwrap();
    let mut permissions = std::fs::metadata(place.path()).unwrap().permissions();
    permissions.set_mode(0o444);
    std::fs::set_permissions(place.path(), permissions).unwrap();
    if std::fs::OpenOptions::new().write(true).open(place.path()).is_ok() {
        // The superuser may write anything.
        return;
    }
    let error = failure(&place.params);
    assert!(error.to_string().contains("is read-only; make it writable"), "{error}");
}

#[test]
fn a_full_disk() {
    let place = Place::new();
    let mut storage = place.open();
    // What SQLite answers when a file cannot grow.
    storage.limit_pages_for_test(30);
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    storage.write(table, &rows(&[(1, Some("small"))])).unwrap();
    storage.commit(&none()).unwrap();
    storage.write(table, &rows(&[(2, Some(&"x".repeat(1 << 20)))])).unwrap();
    let error = storage.commit(&changes(&[("t", Some("2"))])).unwrap_err();
    assert!(error.to_string().contains("no space is left for database"), "{error}");
    storage.finish(Outcome::Failed, &none(), Some("disk full")).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    assert_eq!(place.state(), BTreeMap::new());
}

#[test]
fn a_newer_database() {
    let place = Place::new();
    drop(place.open());
    place.execute("UPDATE _ow_version SET version = 99");
    let error = failure(&place.params);
    assert!(error.to_string().contains("was written by a newer ow-host"), "{error}");
}

#[test]
fn reading_state_creates_nothing() {
    let place = Place::new();
    assert_eq!(read_state(&place.params, "dm").unwrap(), BTreeMap::new());
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0);
    place.execute("CREATE TABLE mine (a)");
    assert_eq!(read_state(&place.params, "dm").unwrap(), BTreeMap::new());
}

#[test]
fn state_can_be_read_during_a_run() {
    let place = Place::new();
    let mut storage = place.open();
    storage.commit(&changes(&[("k", Some("1"))])).unwrap();
    assert_eq!(place.state(), BTreeMap::from([("k".into(), "1".into())]));
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
}
