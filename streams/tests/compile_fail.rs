//! Programs that must not compile: types are checked along a topology, and what is missing is a compile error, with the
//! compiler's own words beside each program. `TRYBUILD=overwrite` writes them anew after a change of the compiler.

#[test]
fn wrong_topologies_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
