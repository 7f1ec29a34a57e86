//! Compiles the wall clock that each process of an app under test has for itself: see `native/wallclock.c`.

fn main() {
    const SOURCE: &str = "native/wallclock.c";
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rustc-check-cfg=cfg(wall_clock_moves)");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let is_wanted = std::env::var_os("CARGO_FEATURE_WALL_CLOCK").is_some();
    if !is_wanted || target("OS") != "linux" || target("POINTER_WIDTH") != "64" {
        return;
    }
    cc::Build::new().file(SOURCE).warnings(true).cargo_metadata(false).compile("bowline_wallclock");
    let folder = std::env::var("OUT_DIR").expect("cargo names the folder for what a build script makes");
    println!("cargo:rustc-link-search=native={folder}");
    // Whole: nothing in Rust names the function, it takes the place of the system's.
    println!("cargo:rustc-link-lib=static:+whole-archive=bowline_wallclock");
    println!("cargo:rustc-cfg=wall_clock_moves");
}
