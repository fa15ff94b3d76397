//! Work for a processor, compiled for the guest and for the host: what the
//! sandbox costs where nothing but computing counts.

/// Primes below a number by a sieve, and a checksum of them in integers and
/// floats: memory, branches and arithmetic.
pub(crate) fn work(below: usize) -> u64 {
    let mut composite = vec![false; below];
    let (mut hash, mut mean) = (0xcbf2_9ce4_8422_2325_u64, 0.0_f64);
    for number in 2..below {
        if composite.get(number).copied().unwrap_or(true) {
            continue;
        }
        for multiple in (number.saturating_mul(number)..below).step_by(number) {
            if let Some(place) = composite.get_mut(multiple) {
                *place = true;
            }
        }
        hash = (hash ^ number as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        mean = mean.mul_add(0.999, (number as f64).sqrt());
    }
    hash ^ mean.to_bits()
}
