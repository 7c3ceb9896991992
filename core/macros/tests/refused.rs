//! The arguments that the attributes refuse, and the messages.

#[test]
fn misuse_is_named_where_it_stands() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
