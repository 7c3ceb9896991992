//! Foster decides which types may be returned.

use foster::nursery::Outcome;

pub struct Mine;

#[cfg(misuse)]
impl Outcome<(), ()> for Mine {
    //~^ E0
    fn into_result(self) -> Result<(), ()> {
        Ok(())
    }
}

pub fn run(mine: Result<Mine, ()>) -> Result<Mine, ()> {
    mine.into_result()
}
