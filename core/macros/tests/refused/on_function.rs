#[foster::main(smol)]
async fn with_arguments(number: u32) {
    drop(number);
}

#[foster::main(smol)]
async fn with_type_parameters<T>() {}

#[foster::main(smol)]
async fn with_a_where_clause()
where
    u32: Copy,
{
}

#[foster::main(smol)]
async unsafe fn with_a_contract() {}

#[foster::main(smol)]
struct NoFunction;

#[foster::main(smol)]
const fn at_compile_time() {}

fn main() {}
