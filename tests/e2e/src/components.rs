//! Hand-made components: small, and wrong in one way each.

/// A core module.
#[must_use]
pub fn core_module() -> Vec<u8> {
    assemble("(module (memory 1))")
}

/// A component without imports and exports.
#[must_use]
pub fn empty() -> Vec<u8> {
    assemble("(component)")
}

/// A component that imports an interface by name and uses nothing of it.
#[must_use]
pub fn importing(interface: &str) -> Vec<u8> {
    assemble(&format!(r#"(component (import "{interface}" (instance)))"#))
}

/// A component that imports a bare function.
#[must_use]
pub fn importing_function() -> Vec<u8> {
    assemble(r#"(component (import "launch-missiles" (func)))"#)
}

/// A component that exports an interface by name, with nothing in it.
#[must_use]
pub fn exporting(interface: &str) -> Vec<u8> {
    assemble(&format!(r#"(component (instance $nothing) (export "{interface}" (instance $nothing)))"#))
}

/// The test guest with a core module beside it, which is instantiated so many
/// times whenever the guest is.
#[must_use]
pub fn beside(module: &str, times: usize) -> Vec<u8> {
    beside_of(std::fs::read(crate::build::test_guest()).unwrap(), module, times)
}

/// A component with a core module beside it, which is instantiated so many
/// times whenever the component is.
#[must_use]
pub fn beside_of(mut bytes: Vec<u8>, module: &str, times: usize) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCE: u8 = 2;
    let index = sections(&bytes).filter(|id| *id == CORE_MODULE).count();
    section(&mut bytes, CORE_MODULE, &assemble(module));
    // One instance: of the module with this index, with no arguments.
    let instance = [&[1, 0], leb(index).as_slice(), &[0]].concat();
    for _ in 0..times {
        section(&mut bytes, CORE_INSTANCE, &instance);
    }
    bytes
}

/// A component with another custom section, which the engine does not read.
#[must_use]
pub fn with_custom_section(mut bytes: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    section(&mut bytes, 0, &[leb(name.len()).as_slice(), name.as_bytes(), content].concat());
    bytes
}

/// The kinds of a component's sections.
fn sections(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let id = *bytes.get(at)?;
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(bytes[at] & 0x7f) << shift;
            shift += 7;
            if bytes[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + size;
        Some(id)
    })
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(leb(content.len()));
    bytes.extend(content);
}

/// A number in LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The test guest with another description of itself: see its `spec.rs`.
#[must_use]
pub fn with_spec(mode: u8) -> Vec<u8> {
    with_digits(std::fs::read(crate::build::test_guest()).unwrap(), b"test-guest-spec-m=00", mode)
}

/// A file in which a mark stands once and ends in two digits, with other digits.
#[must_use]
pub fn with_digits(mut bytes: Vec<u8>, mark: &[u8], digits: u8) -> Vec<u8> {
    let places: Vec<usize> =
        bytes.windows(mark.len()).enumerate().filter(|(_, part)| *part == mark).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("the mark stands in the file {} times", places.len()) };
    bytes[at + mark.len() - 2..at + mark.len()].copy_from_slice(format!("{digits:02}").as_bytes());
    bytes
}

fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}
