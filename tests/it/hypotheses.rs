//! The hypotheses in words: `docs/hypotheses.md` says what the diagnosis says of them.

use firstframe::diagnose::hypotheses::document;

#[test]
fn the_document_of_the_hypotheses_is_what_they_say() {
    let path = format!("{}/docs/hypotheses.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let written = std::fs::read_to_string(&path).expect("docs/hypotheses.md");
    assert_eq!(written, document(), "see how docs/hypotheses.md is written, in its head");
}
