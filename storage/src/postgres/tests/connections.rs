//! Parameters, passwords, certificates.

use std::path::PathBuf;

use super::*;

fn failure(params: &Params) -> StorageError {
    Postgres.reach(params.clone(), Path::new("/")).unwrap_err()
}

fn parameter(error: &StorageError) -> Option<&str> {
    match error {
        StorageError::Config { parameter, .. } => parameter.as_deref(),
        _ => None,
    }
}

fn problems(value: &Value) -> Vec<String> {
    let params = value.as_object().unwrap();
    crate::registry::validate("Postgres", params).into_iter().map(|(_, message)| message).collect()
}

#[test]
fn everything_that_is_wrong_with_the_parameters_is_told() {
    assert_eq!(
        problems(&json!({ "Schema": "pg_x", "TablePrefix": "_ow_", "SslMode": "maybe", "Hots": "x" })),
        [
            "storage Postgres has no parameter `Hots`; did you mean `Host`?",
            "`SslMode` has to be one of `disable`, `prefer`, `require`, `verify-ca`, `verify-full`",
            "storage Postgres needs parameter `Host` (or `ConnectionString`)",
            "storage Postgres needs parameter `Database` (or `ConnectionString`)",
            "storage Postgres needs parameter `User` (or `ConnectionString`)",
            "`Schema` starts with `pg_`, which PostgreSQL keeps for itself; choose another one",
            "`TablePrefix` starts with `_ow_`, which ow-host keeps for its own tables; choose another one",
        ]
    );
    let base = json!({ "Host": "h", "Database": "d", "User": "u" });
    assert_eq!(problems(&base), [""; 0]);
    let with = |name: &str, value: Value| {
        let mut params = base.clone();
        params[name] = value;
        problems(&params)
    };
    assert!(with("SslMode", "verify-ca".into())[0].contains("set `SslRootCert`, or use `verify-full`"));
    assert!(with("Port", 70_000.into())[0].contains("70000"));
    assert!(with("Schema", "x".repeat(64).into())[0].contains("has 64 bytes"));
    assert!(
        with("ConnectionString", "postgresql://u@h/d".into())[0]
            .starts_with("`Host` and `ConnectionString` say the same thing")
    );
}

#[test]
fn connection_strings() {
    let of = |text: &str| problems(&json!({ "ConnectionString": text }));
    for good in [
        "postgresql://u:p%40ss@h:5433/d",
        "postgres://u@h1:1,h2:2/d?target_session_attrs=read-write",
        "postgresql://u:p?w@h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Froot.crt",
        "postgresql:///d?user=u&host=/run/postgresql",
    ] {
        assert_eq!(of(good), [""; 0], "{good}");
    }
    for (bad, expected) in [
        ("host=h user=u", "does not start with `postgresql://`"),
        ("postgresql://h/d", "names no user"),
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@/d", "names no host"),
        ("postgresql://u:hunter2@h/d?hunter2=1", "has an option that is not supported"),
        ("postgresql://u:hunter2@h:port/d", "cannot be read"),
        ("postgresql://u@h/d?sslmode=allow", "sslmode `allow` of `ConnectionString` is not supported"),
    ] {
        let found = of(bad);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
        assert!(found[0].contains(expected), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn tls_is_chosen_by_where_the_server_is() {
    use tokio_postgres::config::SslMode;
    let mode = |params: Value| {
        let target = target(params.as_object().unwrap().clone(), Path::new("/base")).unwrap();
        (target.config.get_ssl_mode(), target.check)
    };
    let of = |host: &str| mode(json!({ "Host": host, "Database": "d", "User": "u" })).0;
    assert_eq!(of("/run/postgresql"), SslMode::Disable);
    for host in ["localhost", "127.0.0.1", "::1"] {
        assert_eq!(of(host), SslMode::Prefer, "{host}");
    }
    for host in ["db", "10.0.0.1", "localhost.example.com"] {
        assert_eq!(of(host), SslMode::Require, "{host}");
    }
    let root = json!({ "Host": "db", "Database": "d", "User": "u", "SslRootCert": "root.crt" });
    assert_eq!(mode(root.clone()), (SslMode::Require, params::Check::Full(Some("/base/root.crt".into()))));
    let mut required = root;
    required["SslMode"] = "require".into();
    assert_eq!(mode(required).1, params::Check::Authority("/base/root.crt".into()));
    let string = json!({ "ConnectionString": "postgresql://u@db/d?sslmode=verify-full&sslrootcert=system" });
    assert_eq!(mode(string), (SslMode::Require, params::Check::Full(None)));
}

#[test]
fn secrets_are_marked() {
    let schema = Postgres.schema();
    for name in ["Password", "ConnectionString"] {
        assert_eq!(schema["properties"][name]["writeOnly"], json!(true), "{name}");
    }
    let properties = schema["properties"].as_object().unwrap();
    for (name, property) in properties {
        assert!(property["description"].is_string() && property["type"] != Value::Null, "{name}: {property}");
    }
    assert_eq!(schema["properties"]["Schema"]["default"], json!("public"));
}

#[test]
fn wrong_credentials_and_databases() {
    let Some(place) = Place::new() else { return };
    let port = place.server.port;
    let mut params = place.tcp("localhost", port);
    assert!(
        Postgres
            .reach(params.clone(), Path::new("/"))
            .unwrap()
            .contains("with TLS; schema `public` is there")
    );
    params.insert("Password".to_owned(), "hunter2".into());
    let error = failure(&params);
    assert_eq!(
        error.to_string(),
        format!(
            "database `{}` at localhost:{port} does not take the password of user `loader`; check `User` and `Password`",
            place.database
        )
    );
    assert_eq!(parameter(&error), Some("Password"));
    params.remove("Password");
    let error = failure(&params);
    assert!(error.to_string().ends_with("asks for a password of user `loader`; set `Password`"), "{error}");
    let error = failure(&place.with("User", "nobody-here"));
    assert!(error.to_string().contains("role \"nobody-here\" does not exist"), "{error}");
    assert_eq!(parameter(&error), Some("User"));
    let error = failure(&place.with("Database", "nowhere"));
    assert!(error.to_string().contains("create it, or correct `Database`"), "{error}");
    assert_eq!(parameter(&error), Some("Database"));
    let string = format!("postgresql://loader:secret-9@localhost:{port}/{}", place.database);
    let string = json!({ "ConnectionString": string }).as_object().unwrap().clone();
    assert!(Postgres.reach(string, Path::new("/")).is_ok());
}

#[test]
fn servers_that_are_not_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let params = |host: &str, port: u16| {
        let params = json!({ "Host": host, "Port": port, "Database": "d", "User": "u", "ConnectTimeout": 1 });
        params.as_object().unwrap().clone()
    };
    let error = failure(&params("127.0.0.1", port));
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(matches!(error, StorageError::Failed { retryable: true, .. }));
    let error = failure(&params("/nowhere", 5432));
    assert!(error.to_string().contains("at /nowhere:5432 cannot be reached"), "{error}");
    // One that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = failure(&params("127.0.0.1", silent.local_addr().unwrap().port()));
    assert!(error.to_string().contains("did not answer for 1 seconds"), "{error}");
}

#[test]
fn certificates() {
    let Some(place) = Place::new() else { return };
    let (port, root) = (place.server.port, place.server.folder.join("root.crt"));
    let tls = |host: &str, mode: &str, root: Option<&Path>| {
        let mut params = place.tcp(host, port);
        params.insert("SslMode".to_owned(), mode.into());
        if let Some(root) = root {
            params.insert("SslRootCert".to_owned(), root.to_str().unwrap().into());
        }
        Postgres.reach(params, Path::new("/"))
    };
    for (host, mode, root) in [
        ("localhost", "verify-full", Some(&root)),
        ("127.0.0.1", "verify-ca", Some(&root)),
        ("127.0.0.1", "require", Some(&root)),
        ("127.0.0.1", "require", None),
        ("127.0.0.1", "prefer", None),
        // The server's own certificate is trusted as it is.
        ("localhost", "verify-full", Some(&place.server.folder.join("server.crt"))),
    ] {
        let said = tls(host, mode, root.map(PathBuf::as_path)).unwrap();
        assert!(said.contains("with TLS"), "{said}");
    }
    let error = tls("127.0.0.1", "verify-full", Some(&root)).unwrap_err();
    assert!(error.to_string().contains("certificate not valid for name"), "{error}");
    assert!(error.to_string().contains("set `SslRootCert` to the certificate of its authority"), "{error}");
    let error = tls("localhost", "verify-full", None).unwrap_err();
    assert_eq!(parameter(&error), Some("SslRootCert"), "{error}");
    // Another authority.
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.crt");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&other, made.cert.pem()).unwrap();
    for mode in ["verify-full", "verify-ca", "require"] {
        let error = tls("localhost", mode, Some(&other)).unwrap_err();
        assert!(error.to_string().contains("TLS with database"), "{error}");
    }
    std::fs::write(&other, "no certificate").unwrap();
    assert!(
        tls("localhost", "require", Some(&other)).unwrap_err().to_string().contains("holds no certificate")
    );
    let error = tls("localhost", "require", Some(Path::new("missing.crt"))).unwrap_err();
    assert!(error.to_string().contains("file `/missing.crt` of `SslRootCert` cannot be read"), "{error}");
    // The server wants TLS, and the storage is told not to.
    let error = tls("localhost", "disable", None).unwrap_err();
    assert_eq!(parameter(&error), Some("User"), "{error}");
}

#[test]
fn rows_by_way_of_tls() {
    let Some(place) = Place::new() else { return };
    let mut params = place.tcp("localhost", place.server.port);
    params.insert("SslRootCert".to_owned(), place.server.folder.join("root.crt").to_str().unwrap().into());
    let mut storage = open(&params, &run("r")).unwrap();
    let text = "x".repeat(1 << 20);
    let batches: Vec<_> = (0..10).map(|id| rows(&[(id, Some(&text))])).collect();
    load(&mut storage, &people(1), WriteMode::Merge, &batches).unwrap();
    assert_eq!(place.query("SELECT count(*), sum(length(name)) FROM t"), [format!("10 {}", 10 << 20)]);
    assert!(storage.waited() > std::time::Duration::ZERO);
}

#[test]
fn a_server_without_tls_is_told_from_one_that_is_not_there() {
    let Some(server) = Server::new(false) else { return };
    let mut params = Place::on(&server).tcp("127.0.0.1", server.port);
    params.insert("SslMode".to_owned(), "require".into());
    let error = failure(&params);
    assert!(
        error.to_string().contains("offers no TLS; turn it on there, or set `SslMode` to `disable`"),
        "{error}"
    );
    assert_eq!(parameter(&error), Some("SslMode"));
}
