//! Files with secrets that others than their owner can get at.

use std::fs::File;
use std::path::Path;

/// Whether the group or others may read or write the file. Nothing is known of it
/// where files have no such permissions.
#[cfg(unix)]
pub(crate) fn is_exposed(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let is_readable =
        |metadata: std::fs::Metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0;
    file.metadata().is_ok_and(is_readable)
}

/// Whether the group or others may read or write the file. Nothing is known of it
/// where files have no such permissions.
#[cfg(not(unix))]
pub(crate) fn is_exposed(_: &File) -> bool {
    false
}

/// What the operator should do about such a file.
pub(crate) fn warning(path: &Path, what: &str) -> String {
    let path = super::problem::one_line(&path.display().to_string());
    format!("{path}: holds {what}, and others than its owner can read or write it: chmod 600 {path}")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_only_its_owner_can_use_is_not_exposed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, exposed) in [
            (0o600, false),
            (0o400, false),
            (0o700, false),
            (0o640, true),
            (0o604, true),
            (0o620, true),
            (0o644, true),
        ] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_exposed(&File::open(file.path()).unwrap()), exposed, "{mode:o}");
        }
        // What is no file has no content to protect.
        assert!(!is_exposed(&File::open("/dev/null").unwrap()));
    }
}
