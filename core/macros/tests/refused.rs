//! What the attributes refuse, and with which message.

#[test]
fn misuse_is_named_where_it_stands() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
