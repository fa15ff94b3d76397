//! Folders and disks that do not do what they should, and names that should not
//! be.

use std::fs;

use super::*;

#[test]
fn places_where_no_folder_can_be() {
    let mut folder = Folder::new();
    let root = folder.folder.path().to_owned();
    folder.params.path = root.join("no/such/lake");
    let error = folder.try_open(&run("r")).err().unwrap();
    assert!(error.to_string().contains("does not exist and neither does the folder above it"), "{error}");
    assert!(matches!(error, StorageError::Config { parameter: Some(name), .. } if name == "Path"));
    assert!(reach(&folder.params.path).is_err());
    fs::write(root.join("file"), "x").unwrap();
    folder.params.path = root.join("file");
    let error = folder.try_open(&run("r")).err().unwrap();
    assert!(error.to_string().contains("is a file; set `Path` to a folder"), "{error}");
    folder.params.path = root.join("new");
    assert!(reach(&folder.params.path).unwrap().ends_with("will be created"));
    assert!(!folder.params.path.exists());
    assert_eq!(folder.state(), BTreeMap::new());
    assert!(!folder.params.path.exists(), "reading creates nothing");
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let folder = Folder::new();
    let names = ["../up", "/etc/x", "..", "a/b", "con", "naïve 🎉", "a\0b", "_hidden", ".dot", "%41", "A"];
    for name in names {
        let schema = TableSchema { name: name.into(), ..people(1) };
        folder.load(&schema, WriteMode::Merge, &[rows(&[(1, Some(name))])]).unwrap();
        assert_eq!(folder.rows(&name::encode(name)).len(), 1, "{name}");
    }
    let tops: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(tops.len(), names.len() + 1, "a folder each, and ours");
    assert_eq!(fs::read_dir(folder.folder.path()).unwrap().count(), 1);
}

#[test]
fn names_that_are_refused() {
    let folder = Folder::new();
    let open = |name: &str| {
        let schema = TableSchema { name: name.into(), ..people(0) };
        folder.open().open_table(&schema, WriteMode::Append).unwrap_err().to_string()
    };
    assert!(open("_OW_state").contains("which ow-host keeps for its own tables"));
    assert!(open(&"x".repeat(300)).contains("longer than 200 bytes"));
    assert!(open("").contains("is empty"));
    folder.load(&TableSchema { name: "Ads".into(), ..people(0) }, WriteMode::Append, &[]).unwrap();
    assert!(open("ads").starts_with("table `Ads` is there already and differs from `ads` in case only"));
}

#[test]
fn files_of_others_are_not_guessed_at() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path().join("t")).unwrap();
    fs::write(folder.path().join("t/mine.parquet"), "x").unwrap();
    for run in [run("r"), refresh("r")] {
        let error = folder.load_as(&run, &people(0), WriteMode::Append, &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("mine.parquet`, in the folder of table `t`, was not written by ow-host"),
            "{error}"
        );
    }
    assert!(folder.path().join("t/mine.parquet").exists());
    fs::remove_file(folder.path().join("t/mine.parquet")).unwrap();
    fs::write(folder.path().join("t/_notes"), "x").unwrap();
    folder.load(&people(0), WriteMode::Append, &[rows(&[(1, None)])]).unwrap();
}

#[test]
fn files_that_the_user_removed_are_forgotten() {
    let folder = Folder::new();
    folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    fs::remove_dir_all(folder.path().join("t")).unwrap();
    folder.load(&people(1), WriteMode::Merge, &[rows(&[(2, None)])]).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 2, name: null}"]);
    assert_eq!(folder.query("SELECT count(*) || '' FROM _ow_files"), ["1"]);
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let elsewhere = folder.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    drop(folder.open());
    symlink(&elsewhere, folder.path().join("t")).unwrap();
    let error = folder.load(&people(0), WriteMode::Append, &[rows(&[(1, None)])]).unwrap_err();
    assert!(error.to_string().contains("is a link, and ow-host writes through no link"), "{error}");
    fs::remove_file(folder.path().join("t")).unwrap();
    // A partition.
    let mut days = stream("t", &[("id", DataType::Int64), ("day", DataType::Date)], 0);
    days.partition_field = Some("day".into());
    let row = batch(
        &days,
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(arrow_array::Date32Array::from(vec![0]))],
    );
    fs::create_dir(folder.path().join("t")).unwrap();
    symlink(&elsewhere, folder.path().join("t/day_day=1970-01-01")).unwrap();
    let error = folder.load(&days, WriteMode::Append, &[row]).unwrap_err();
    assert!(error.to_string().contains("is a link"), "{error}");
    // The staging folder, and the ledger.
    fs::remove_dir_all(folder.path().join("_ow/staging")).ok();
    symlink(&elsewhere, folder.path().join("_ow/staging")).unwrap();
    let error = folder.try_open(&run("r")).err().unwrap();
    assert!(error.to_string().contains("is a link"), "{error}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    // The folder itself may be one.
    let link = folder.folder.path().join("link");
    symlink(&elsewhere, &link).unwrap();
    let linked = Folder { params: LocalFilesParams { path: link, ..folder.params.clone() }, ..Folder::new() };
    linked.load(&people(0), WriteMode::Append, &[rows(&[(1, None)])]).unwrap();
    assert_eq!(linked.rows("t").len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    fs::create_dir(folder.path()).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let result = folder.try_open(&run("r")).err();
    let reached = reach(folder.path());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The superuser may write anything.
    if let Some(error) = result {
        assert!(error.to_string().contains("make the folder writable"), "{error}");
        assert!(reached.is_err());
    }
}

/// A small disk of its own: only the superuser can make one.
#[cfg(target_os = "linux")]
struct Disk(PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    fn new(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mount =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        let status = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let folder = Folder::of(Format::Csv);
    let Some(disk) = Disk::new(folder.path(), "size=3m") else { return };
    let mut storage = folder.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("small"))]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    let text = "x".repeat(8 << 20);
    let error = storage
        .write(table, &rows(&[(2, Some(&text))]))
        .and_then(|()| storage.commit(&changes(&[("t", Some("2"))])))
        .unwrap_err();
    assert!(error.to_string().contains("no space is left for"), "{error}");
    storage.finish(Outcome::Failed, &none(), Some("disk full")).unwrap();
    assert_eq!(folder.text("t"), "id,name\r\n1,small\r\n");
    assert_eq!(folder.state(), BTreeMap::from([("t".into(), "1".into())]));
    assert!(folder.files("_ow/staging").is_empty(), "the space is free again");
    disk.remount("size=64m");
    folder.load(&people(1), WriteMode::Merge, &[rows(&[(2, Some(&text))])]).unwrap();
    assert_eq!(folder.text("t").lines().count(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_read_only() {
    let folder = Folder::new();
    let Some(disk) = Disk::new(folder.path(), "size=8m") else { return };
    folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    disk.remount("ro");
    let error = folder.try_open(&run("r")).err().unwrap();
    assert!(matches!(error, StorageError::Config { .. }), "{error}");
    assert!(error.to_string().contains("writable"), "{error}");
    assert!(reach(folder.path()).is_err());
    assert_eq!(folder.rows("t").len(), 1);
}

#[test]
fn a_damaged_ledger() {
    let folder = Folder::new();
    folder.load(&people(1), WriteMode::Merge, &[]).unwrap();
    fs::write(folder.path().join(LEDGER), "not a database".repeat(100)).unwrap();
    let error = folder.try_open(&run("r")).err().unwrap();
    assert!(error.to_string().contains("is not an SQLite database"), "{error}");
}

#[test]
fn a_file_that_somebody_changed() {
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder::of(format);
        folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
        let file = folder.path().join("t").join(&folder.files("t")[0]);
        fs::write(&file, "changed").unwrap();
        let error = folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap_err();
        assert!(error.to_string().contains("cannot be read back"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "changed");
    }
}

#[test]
fn parameters_are_checked() {
    let problems = |json: Value| -> Vec<String> {
        let params = json.as_object().unwrap().clone();
        let problems = crate::registry::validate("LOCAL_FILES", &params);
        problems.into_iter().map(|(name, _)| name.unwrap_or_default()).collect()
    };
    assert!(problems(serde_json::json!({ "Path": "x" })).is_empty());
    let all = serde_json::json!({
        "Path": "x", "Format": "PARQUET", "PartitionBy": "day", "Compression": "snappy", "MaxFileSize": "64",
    });
    assert!(problems(all).is_empty());
    assert!(problems(serde_json::json!({ "Path": "x", "Format": "csv", "Compression": "none" })).is_empty());
    assert_eq!(problems(serde_json::json!({ "Path": "x", "Format": "orc" })), ["Format"]);
    assert_eq!(
        problems(serde_json::json!({ "Path": "x", "Format": "csv", "Compression": "zstd" })),
        ["Compression"]
    );
    assert_eq!(problems(serde_json::json!({ "Path": "", "MaxFileSize": 0 })), ["Path", "MaxFileSize"]);
}

#[test]
fn the_registry_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let params = serde_json::json!({ "Path": "lake", "Format": "jsonl" });
    let params = params.as_object().unwrap();
    let (mut storage, name) = crate::registry::open("LocalFiles", params, folder.path(), &run("r")).unwrap();
    assert_eq!(name, "LocalFiles (lake, jsonl)");
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    storage.write(table, &rows(&[(1, Some("a"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap();
    let state = crate::registry::read_state("LocalFiles", params, folder.path(), "dm").unwrap();
    assert_eq!(state.len(), 1);
    let reached = crate::registry::reach("LocalFiles", params, folder.path()).unwrap();
    assert!(reached.ends_with("is a folder that can be written"), "{reached}");
}
