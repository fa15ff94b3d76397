//! Generates the components that the tests run, the same ones each time.

#![allow(clippy::indexing_slicing, reason = "sections of a component that is kept here")]

use std::path::Path;
use std::{env, fs, io};

use arbitrary::Unstructured;

mod generate;

/// Components of each kind.
const COUNT: usize = 150;
/// Bytes that one is made of.
const INPUT: usize = 3000;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=generate.rs");
    println!("cargo::rerun-if-changed=../fuzz/seeds/component/connector.wasm");
    let folder = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    let folder = Path::new(&folder).join("components");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    let mut random = Random(0x736d_6974_6821);
    for (kind, generate) in
        [("connector", generate::connector as Generate), ("component", generate::component)]
    {
        let mut made = 0;
        while made < COUNT {
            let bytes = random.bytes(INPUT);
            let Ok(mut wasm) = generate(&mut Unstructured::new(&bytes)) else { continue };
            // Every third is damaged.
            let damage = if made % 3 == 0 { "-damaged" } else { "" };
            for _ in 0..if damage.is_empty() { 0 } else { 1 + made % 4 } {
                let at = random.below(wasm.len());
                wasm[at] ^= 1 << random.below(8);
            }
            fs::write(folder.join(format!("{kind}-{made:03}{damage}.wasm")), wasm)?;
            made += 1;
        }
    }
    Ok(())
}

type Generate = fn(&mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>>;

/// Numbers that look random and are the same in each build (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or_default()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(len).collect()
    }
}
