//! N10: names, links, metadata: results and kinds of errors are those of std.

use std::io::{self, ErrorKind};
use std::path::Path;

use foster_fs as fs;

use crate::place;

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it is no error"),
        Err(error) => error.kind(),
    }
}

/// N144: whole files; copies have the contents and the permissions; a rename replaces.
pub async fn n144_files() {
    let (directory, path) = place("one");
    let other = directory.path().join("other");
    assert_eq!(kind(fs::read(&path).await), ErrorKind::NotFound);
    assert_eq!(kind(fs::copy(&path, &other).await), ErrorKind::NotFound);
    assert_eq!(kind(fs::rename(&path, &other).await), ErrorKind::NotFound);
    assert_eq!(kind(fs::remove_file(&path).await), ErrorKind::NotFound);
    assert_eq!(kind(fs::metadata(&path).await), ErrorKind::NotFound);
    fs::write(&path, "contents").await.unwrap();
    fs::write(&path, b"new").await.unwrap();
    assert_eq!(fs::read_to_string(&path).await.unwrap(), "new");
    std::fs::write(&other, [0xFF]).unwrap();
    assert_eq!(kind(fs::read_to_string(&other).await), ErrorKind::InvalidData);

    let mut permissions = fs::metadata(&path).await.unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).await.unwrap();
    let third = directory.path().join("third");
    assert_eq!(fs::copy(&path, &third).await.unwrap(), 3);
    assert!(fs::metadata(&third).await.unwrap().permissions().readonly());
    assert_eq!(fs::read(&third).await.unwrap(), b"new");

    #[cfg(unix)]
    fs::rename(&third, &other).await.unwrap();
    #[cfg(unix)]
    assert_eq!(std::fs::read(&other).unwrap(), b"new", "renamed over a file that is there");
    fs::remove_file(&other).await.unwrap();
    assert!(!fs::try_exists(&other).await.unwrap());
    #[cfg(windows)]
    for path in [&path, &third] {
        let mut permissions = std::fs::metadata(path).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "so that Windows can remove it")]
        permissions.set_readonly(false);
        std::fs::set_permissions(path, permissions).unwrap();
    }
}

/// N144: directories.
pub async fn n144_directories() {
    let (directory, path) = place("one");
    let deep = path.join("two").join("three");
    assert_eq!(kind(fs::create_dir(&deep).await), ErrorKind::NotFound);
    fs::create_dir_all(&deep).await.unwrap();
    fs::create_dir_all(&deep).await.unwrap();
    assert_eq!(kind(fs::create_dir(&deep).await), ErrorKind::AlreadyExists);
    fs::DirBuilder::new().recursive(true).create(&deep).await.unwrap();
    assert_eq!(kind(fs::DirBuilder::new().create(&deep).await), ErrorKind::AlreadyExists);
    std::fs::write(deep.join("file"), "").unwrap();
    assert_eq!(kind(fs::remove_dir(&deep).await), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(fs::create_dir_all(deep.join("file")).await), ErrorKind::AlreadyExists);
    fs::remove_dir_all(&path).await.unwrap();
    assert!(!path.exists());
    assert_eq!(kind(fs::remove_dir_all(&path).await), ErrorKind::NotFound);
    fs::create_dir(&path).await.unwrap();
    fs::remove_dir(&path).await.unwrap();
    let real = fs::canonicalize(directory.path().join(".").join("..")).await.unwrap();
    assert_eq!(real, directory.path().canonicalize().unwrap().parent().unwrap());
    assert_eq!(kind(fs::canonicalize(&path).await), ErrorKind::NotFound);
}

/// N144: permissions of what is made.
#[cfg(unix)]
pub async fn n144_modes() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = place("file");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(fs::File::options().write(true).create(true).mode(0o600).open(&path).await.unwrap());
    assert_eq!(mode(&path), 0o600);
    let below = directory.path().join("below");
    fs::DirBuilder::new().mode(0o700).create(&below).await.unwrap();
    assert_eq!(mode(&below), 0o700);
}

/// N144: links.
#[cfg(unix)]
pub async fn n144_links() {
    let (directory, path) = place("file");
    let (hard, symbolic) = (directory.path().join("hard"), directory.path().join("symbolic"));
    std::fs::write(&path, "contents").unwrap();
    fs::hard_link(&path, &hard).await.unwrap();
    assert_eq!(kind(fs::hard_link(&path, &hard).await), ErrorKind::AlreadyExists);
    fs::symlink("file", &symbolic).await.unwrap();
    assert_eq!(fs::read_link(&symbolic).await.unwrap(), Path::new("file"));
    assert_eq!(kind(fs::read_link(&path).await), ErrorKind::InvalidInput);
    assert!(fs::symlink_metadata(&symbolic).await.unwrap().is_symlink());
    assert!(fs::metadata(&symbolic).await.unwrap().is_file());
    assert_eq!(fs::canonicalize(&symbolic).await.unwrap(), path.canonicalize().unwrap());
    fs::write(&symbolic, "new").await.unwrap();
    assert_eq!((std::fs::read(&hard).unwrap(), std::fs::read(&path).unwrap()), (b"new".to_vec(), b"new".to_vec()));
    fs::remove_file(&path).await.unwrap();
    assert!(!fs::try_exists(&symbolic).await.unwrap(), "a link that leads nowhere");
    assert!(fs::try_exists(&hard).await.unwrap());
    let below = directory.path().join("below");
    std::fs::create_dir(&below).unwrap();
    std::fs::rename(&hard, below.join("kept")).unwrap();
    std::fs::remove_file(&symbolic).unwrap();
    fs::symlink(&below, directory.path().join("doomed")).await.unwrap();
    let doomed = directory.path().join("directory");
    std::fs::create_dir(&doomed).unwrap();
    fs::symlink(&below, doomed.join("link")).await.unwrap();
    fs::remove_dir_all(&doomed).await.unwrap();
    assert!(below.join("kept").exists(), "links are removed, and not what they lead to");
}

/// N144: that it cannot be found out whether there is something is not that there is nothing.
#[cfg(unix)]
pub async fn n144_unknown_is_not_absent() {
    let (directory, path) = place("file");
    std::fs::write(&path, "").unwrap();
    assert!(fs::try_exists(&path).await.unwrap());
    assert!(!fs::try_exists(directory.path().join("nothing")).await.unwrap());
    assert_eq!(kind(fs::try_exists(path.join("below a file")).await), ErrorKind::NotADirectory);
    let ring = directory.path().join("ring");
    std::os::unix::fs::symlink(&ring, &ring).unwrap();
    let unknown = fs::try_exists(&ring).await.unwrap_err();
    assert_eq!(unknown.raw_os_error(), std::fs::exists(&ring).unwrap_err().raw_os_error());
    let long = directory.path().join("x".repeat(10_000));
    assert!(fs::try_exists(&long).await.is_err());
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! entries_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; entries {
            n144_files,
            n144_directories,
            #[cfg(unix)]
            n144_modes,
            #[cfg(unix)]
            n144_links,
            #[cfg(unix)]
            n144_unknown_is_not_absent,
        });
    };
}
