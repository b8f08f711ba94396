//! Skipping tests that the machine does not support.

/// Prints that the test of `backend` is skipped, and fails if the environment variable `ALEXNET_REQUIRE`, a comma-separated
/// list, contains it: a machine that supports a backend must not skip its tests unnoticed.
pub fn skip(backend: &str, why: &str) {
    println!("SKIPPED: {backend}: {why}");
    let required = std::env::var("ALEXNET_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == backend), "ALEXNET_REQUIRE names {backend}, but {why}");
}

/// Whether only the GPU is tested, to save GPU time: `ALEXNET_ONLY=cuda`.
pub fn only_the_gpu() -> bool {
    std::env::var("ALEXNET_ONLY").is_ok_and(|only| only == "cuda")
}

/// Marks a test that does not use the GPU: it starts with `if cpu_only() { return; }`. Returns true, and prints that the
/// test is skipped, if only the GPU is tested.
pub fn cpu_only() -> bool {
    let skipped = only_the_gpu();
    if skipped {
        println!("SKIPPED: ALEXNET_ONLY=cuda, and this test uses only the CPU");
    }
    skipped
}
