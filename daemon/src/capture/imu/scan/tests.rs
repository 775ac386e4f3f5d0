//! By an encoder of its own, which works bit by bit.

use proptest::prelude::*;

use super::*;

fn any_type() -> impl Strategy<Value = Type> {
    let storage = prop_oneof![Just(8_u32), Just(16), Just(32), Just(64)];
    let sized = storage.prop_flat_map(|storage_bits| (Just(storage_bits), 1..=storage_bits));
    let placed = sized.prop_flat_map(|(storage_bits, bits)| (Just(storage_bits), Just(bits), 0..=storage_bits - bits));
    let wide = prop_oneof![4 => Just(1_u32), 1 => 2..5_u32];
    (placed, any::<bool>(), any::<bool>(), wide).prop_map(
        |((storage_bits, bits, shift), is_big_endian, is_signed, repeat)| Type {
            is_big_endian,
            is_signed,
            bits,
            storage_bits,
            repeat,
            shift,
        },
    )
}

fn text(kind: Type) -> String {
    let Type { is_big_endian, is_signed, bits, storage_bits, repeat, shift } = kind;
    let (order, sign) = (if is_big_endian { "be" } else { "le" }, if is_signed { 's' } else { 'u' });
    let times = if repeat > 1 { format!("X{repeat}") } else { String::new() };
    format!("{order}:{sign}{bits}/{storage_bits}{times}>>{shift}")
}

/// What a value that is made of these bits is.
fn meant(kind: Type, bits: u64) -> i128 {
    let weight = |bit: u32| if bits >> bit & 1 == 1 { 1_i128 << bit } else { 0 };
    let top = kind.bits - 1;
    let below: i128 = (0..top).map(weight).sum();
    if kind.is_signed { below - weight(top) } else { below + weight(top) }
}

/// The bytes of a value's bits, between bits that mean nothing.
fn encode(kind: Type, bits: u64, noise: u64) -> Vec<u8> {
    let is_set = |bit: u32| match bit.checked_sub(kind.shift) {
        Some(bit) if bit < kind.bits => bits >> bit & 1 == 1,
        _ => noise >> bit & 1 == 1,
    };
    let byte = |at: u32| (0..8).filter(|bit| is_set(at * 8 + bit)).map(|bit| 1_u8 << bit).sum();
    let mut bytes: Vec<u8> = (0..kind.storage_bits / 8).map(byte).collect();
    if kind.is_big_endian {
        bytes.reverse();
    }
    bytes
}

/// Puts elements one after the other as the kernel does, byte by byte.
fn scan(elements: &[(Type, u64)], noise: u64) -> Vec<u8> {
    let mut scan = Vec::new();
    let mut largest = 1;
    for (kind, bits) in elements {
        let bytes = encode(*kind, *bits, noise);
        let length = bytes.len() * kind.repeat as usize;
        while scan.len() % length != 0 {
            scan.push(0xA5);
        }
        scan.extend(bytes);
        (1..kind.repeat).for_each(|_| scan.extend(encode(*kind, noise, noise)));
        largest = largest.max(length);
    }
    while scan.len() % largest != 0 {
        scan.push(0x5A);
    }
    scan
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        elements in prop::collection::vec((any_type(), any::<u64>()), 1..8),
        order in any::<prop::sample::Index>(),
        noise: u64,
    ) {
        let name = |number: usize| format!("channel{number}");
        let mut parsed: Vec<Element> = elements.iter().enumerate().map(|(number, (kind, _))| Element {
            channel: name(number),
            index: u32::try_from(number * 3).unwrap(),
            kind: Type::parse(&text(*kind)).unwrap(),
        }).collect();
        // Neither the order of the files nor that of the columns is the order in the scan.
        let turn = order.index(parsed.len());
        parsed.rotate_left(turn);
        let channels: Vec<String> = (0..elements.len()).rev().map(name).collect();
        let layout = Layout::new(parsed, &channels).unwrap();
        let scan = scan(&elements, noise);
        prop_assert_eq!(layout.bytes, scan.len());
        let mut values = Vec::new();
        layout.decode(&scan, &mut values);
        // Beyond 53 bits both are rounded to the nearest.
        let expected: Vec<f64> = elements.iter().rev().map(|(kind, bits)| meant(*kind, *bits) as f64).collect();
        prop_assert_eq!(values, expected);
    }

    #[test]
    fn no_text_breaks_the_reader(text in ".{0,24}", numbers in "(be|le):[su][0-9]{0,11}/[0-9]{0,11}(X[0-9]{0,11})?>>[0-9]{0,11}") {
        for text in [text, numbers] {
            if let Some(kind) = Type::parse(&text) {
                prop_assert!(kind.decode(&[0xFF; 8 * 64]) != 0);
            }
        }
    }
}

#[test]
fn types_are_read_as_drivers_write_them() {
    let kind = |is_big_endian, is_signed, bits, storage_bits, repeat, shift| {
        Some(Type { is_big_endian, is_signed, bits, storage_bits, repeat, shift })
    };
    for (text, expected) in [
        ("le:s16/16>>0", kind(false, true, 16, 16, 1, 0)),
        ("be:s12/16>>4\n", kind(true, true, 12, 16, 1, 4)),
        ("le:u24/32>>8", kind(false, false, 24, 32, 1, 8)),
        ("le:s16/32>>0", kind(false, true, 16, 32, 1, 0)),
        ("le:s64/64>>0", kind(false, true, 64, 64, 1, 0)),
        ("le:s32/32X4>>0", kind(false, true, 32, 32, 4, 0)),
        // What cannot be: more bits than there is room for, no bits, odd rooms, another kind of number.
        ("le:s16/16>>1", None),
        ("le:s0/16>>0", None),
        ("le:s24/24>>0", None),
        ("le:f32/32>>0", None),
        ("le:s16/16X0>>0", None),
        ("le:s4294967295/64>>4294967295", None),
        ("s16/16>>0", None),
        ("", None),
    ] {
        assert_eq!(Type::parse(text), expected, "{text}");
    }
}

#[test]
fn bytes_of_real_sensors_are_decoded() {
    for (text, bytes, expected) in [
        // MMA8452, 1 g down: -1024 in the upper 12 bits.
        ("be:s12/16>>4", &[0xC0, 0x0F][..], -1024),
        ("le:s16/16>>0", &[0xDF, 0x42], 17119),
        // A HID hub: what is above its 16 bits means nothing.
        ("le:s16/32>>0", &[0x1C, 0xFC, 0x55, 0x55], -996),
        ("le:s64/64>>0", &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], i64::MAX),
    ] {
        assert_eq!(Type::parse(text).unwrap().decode(bytes), expected, "{text}");
    }
}
