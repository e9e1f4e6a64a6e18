//! Refuses the one build that crashes in the field.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, word: &str| std::env::var(key).is_ok_and(|list| list.split(',').any(|item| item == word));
    // A static glibc still loads the host's name-service plugins at the first look-up, and dies with SIGFPE there when the
    // host's glibc is another one: exactly when the notice has come. musl has its resolver inside.
    assert!(
        !(is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_FEATURE", "crt-static")),
        "+crt-static on a gnu target crashes in the field; build for *-unknown-linux-musl instead"
    );
}
