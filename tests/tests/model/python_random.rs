//! Python's `random.Random`: the Mersenne Twister MT19937, and what Python makes of its output.

/// A generator that draws what `random.Random(seed)` draws.
pub(crate) struct Random {
    state: [u32; 624],
    next: usize,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = vec![seed as u32];
        if seed >> 32 != 0 {
            key.push((seed >> 32) as u32);
        }
        let mut state = [0u32; 624];
        state[0] = 19_650_218;
        for i in 1..624 {
            state[i] = 1_812_433_253u32.wrapping_mul(state[i - 1] ^ (state[i - 1] >> 30)).wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        let scramble =
            |state: &[u32; 624], i: usize, by: u32| state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(by);
        for _ in 0..624.max(key.len()) {
            state[i] = scramble(&state, i, 1_664_525).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            j = (j + 1) % key.len();
            if i == 624 {
                state[0] = state[623];
                i = 1;
            }
        }
        for _ in 0..623 {
            state[i] = scramble(&state, i, 1_566_083_941).wrapping_sub(i as u32);
            i += 1;
            if i == 624 {
                state[0] = state[623];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Random { state, next: 624 }
    }

    fn word(&mut self) -> u32 {
        if self.next == 624 {
            for i in 0..624 {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ (y >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// `random()`
    pub(crate) fn random(&mut self) -> f64 {
        let (a, b) = (self.word() >> 5, self.word() >> 6);
        (f64::from(a) * 67_108_864.0 + f64::from(b)) / 9_007_199_254_740_992.0
    }

    /// `randrange(bound)`
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let bits = 32 - bound.leading_zeros();
        loop {
            let draw = self.word() >> (32 - bits);
            if draw < bound {
                return draw;
            }
        }
    }

    /// `randint(least, most)`
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u64 {
        u64::from(least + self.below(most - least + 1))
    }

    /// `choice(list)`
    pub(crate) fn choice<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u32) as usize]
    }

    /// Whether `sample([a, b], 2)` is `[b, a]`.
    pub(crate) fn pair_is_swapped(&mut self) -> bool {
        let swapped = self.below(2) == 1;
        self.below(1);
        swapped
    }

    /// `choices(names, weights)[0]`
    pub(crate) fn weighted(&mut self, weights: &[(&'static str, f64)]) -> &'static str {
        let total: f64 = weights.iter().fold(0.0, |sum, (_, weight)| sum + weight);
        let draw = self.random() * total;
        let mut sum = 0.0;
        for (op, weight) in weights {
            sum += weight;
            if draw < sum {
                return op;
            }
        }
        weights[weights.len() - 1].0
    }
}
