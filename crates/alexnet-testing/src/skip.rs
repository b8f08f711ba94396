//! What a machine lacks.

/// Says that the test of `backend` is left out, and fails where the variable `ALEXNET_REQUIRE`, a list with commas, names
/// it: a machine that has something must not leave it out unnoticed.
pub fn skip(backend: &str, why: &str) {
    println!("SKIPPED: {backend}: {why}");
    let required = std::env::var("ALEXNET_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == backend), "ALEXNET_REQUIRE names {backend}, but {why}");
}

/// Whether the GPU alone is to be tested, because its time is short: `ALEXNET_ONLY=cuda`.
pub fn only_the_gpu() -> bool {
    std::env::var("ALEXNET_ONLY").is_ok_and(|only| only == "cuda")
}

/// The mark of a test that has nothing to do with a GPU: `if cpu_only() { return; }` on top. True, and said so, where the
/// GPU alone is to be tested.
pub fn cpu_only() -> bool {
    let skipped = only_the_gpu();
    if skipped {
        println!("SKIPPED: ALEXNET_ONLY=cuda, and this test is the CPU's");
    }
    skipped
}
