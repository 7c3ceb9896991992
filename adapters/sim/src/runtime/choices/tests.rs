use super::*;

/// The first numbers of the seed 1234567, as the author's C program prints them: <https://prng.di.unimi.it/splitmix64.c>.
#[test]
fn the_generator_is_splitmix64_on_every_machine() {
    let mut rng = Rng(1_234_567);
    let drawn: Vec<u64> = (0..3).map(|_| rng.next()).collect();
    assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}

#[test]
fn seeds_spread_over_the_policies() {
    let of = |seed| Policy::Mixed.resolve(seed);
    assert_eq!(of(0), Policy::Fifo);
    let count = |test: fn(Policy) -> bool| (1..801).filter(|seed| test(of(*seed))).count();
    let counts = [
        count(|policy| policy == Policy::Lifo),
        count(|policy| matches!(policy, Policy::Pct { depth: 2..=4 })),
        count(|policy| policy == Policy::Random),
    ];
    assert_eq!(counts.iter().sum::<usize>(), 800);
    assert!(counts.iter().zip([60, 240, 340]).all(|(count, least)| *count > least), "{counts:?}");
}
