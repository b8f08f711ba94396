//! What a machine lacks.

/// Says that the test of `backend` is left out, and fails where the variable `ALEXNET_REQUIRE`, a list with commas, names
/// it: a machine that has something must not leave it out unnoticed.
pub fn skip(backend: &str, why: &str) {
    println!("SKIPPED: {backend}: {why}");
    let required = std::env::var("ALEXNET_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == backend), "ALEXNET_REQUIRE names {backend}, but {why}");
}
