use std::{path::Path, process::Command};

/// Except the blocks that use an SDK: `make sdk` runs those.
#[test]
fn every_code_block_of_the_documentation_works_to_the_letter() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("ops/docs/run"))
        .args(["--ffapi", env!("CARGO_BIN_EXE_ffapi")])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}
