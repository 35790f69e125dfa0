//! The layout of entries and what changes do to it.

use super::*;

fn string(value: &[u8]) -> OwnedEntry {
    OwnedEntry::string(b"key", value, None).unwrap()
}

#[test]
fn sixteen_and_sixty_four_take_ninety_six() {
    let entry = OwnedEntry::string(&[b'k'; 16], &[b'v'; 64], None).unwrap();
    assert_eq!(entry.memory_bytes(), 96);
    assert_eq!(entry.key(), &[b'k'; 16]);
    assert_eq!(entry.value(), ValueRef::Str(&[b'v'; 64]));
}

#[test]
fn encodings_are_those_of_redis() {
    assert_eq!(string(&[b'v'; 44]).encoding(), Encoding::Embstr);
    assert_eq!(string(&[b'v'; 45]).encoding(), Encoding::Raw);
    assert_eq!(string(&[b'v'; 5000]).encoding(), Encoding::Raw);
    let mut entry = OwnedEntry::int(b"key", -17, None).unwrap();
    assert_eq!(entry.encoding(), Encoding::Int);
    assert_eq!(entry.append(b"5").unwrap(), 4);
    assert_eq!(
        (entry.value(), entry.encoding()),
        (ValueRef::Str(b"-175"), Encoding::Raw)
    );
}

#[test]
fn expiry_comes_and_goes() {
    for len in [0, 5, 9, 13, 64, 1024, 2000] {
        let value = vec![b'v'; len];
        let mut entry = string(&value);
        entry.set_access(77);
        for expire_at in [Some(1), Some(i64::MAX), None, Some(-5), None] {
            entry.set_expire(expire_at);
            assert_eq!(entry.expire_at(), expire_at);
            assert_eq!(entry.key(), b"key");
            assert_eq!(entry.value(), ValueRef::Str(&value));
            assert_eq!(entry.access(), 77);
        }
    }
}

#[test]
fn expired_only_after_its_millisecond() {
    let entry = OwnedEntry::int(b"key", 1, Some(1000)).unwrap();
    assert!(!entry.is_expired(1000));
    assert!(entry.is_expired(1001));
}

#[test]
fn same_class_is_in_place() {
    let mut entry = OwnedEntry::string(&[b'k'; 16], &[b'v'; 60], None).unwrap();
    let before = entry.as_raw();
    entry.set_string(&[b'w'; 64], None);
    entry.set_string(&[b'x'; 50], Some(5));
    assert_eq!(entry.as_raw(), before);
    assert_eq!(
        (entry.value(), entry.expire_at()),
        (ValueRef::Str(&[b'x'; 50]), Some(5))
    );
}

#[test]
fn renamed_and_copied() {
    for len in [3, 100, 3000] {
        let entry = OwnedEntry::string(b"a", &vec![b'v'; len], Some(9)).unwrap();
        entry.set_access(3);
        let copy = entry.copy_as(b"longer key").unwrap();
        let moved = entry.with_key(b"other").unwrap();
        assert_eq!(moved.value(), copy.value());
        assert_eq!(
            (moved.key(), copy.key()),
            (&b"other"[..], &b"longer key"[..])
        );
        assert_eq!((moved.expire_at(), copy.expire_at()), (Some(9), Some(9)));
        assert_eq!((moved.access(), copy.access()), (3, 3));
    }
}

#[test]
fn changed_embstr_copies_as_raw() {
    let mut entry = string(b"abc");
    entry.append(b"d").unwrap();
    assert_eq!(entry.copy_as(b"k").unwrap().encoding(), Encoding::Raw);
}

#[test]
fn too_long_is_an_error() {
    let error = string(b"x").write_at(usize::MAX, b"yy").unwrap_err();
    assert_eq!(error.max, VALUE_MAX_BYTES);
}

#[test]
fn changes_keep_the_expiry() {
    for value in [&b"12"[..], b"text", &[b'v'; 1000], &[b'v'; 2000]] {
        let mut entry = OwnedEntry::string(b"key", value, Some(5)).unwrap();
        let mut text = value.to_vec();
        for added in [10, 30, 100, 500, 1000] {
            entry.append(&vec![b'x'; added]).unwrap();
            text.resize(text.len() + added, b'x');
            assert_eq!(entry.expire_at(), Some(5));
            assert_eq!(entry.value(), ValueRef::Str(&text));
        }
        entry.replace_int(7);
        assert_eq!(
            (entry.value(), entry.expire_at()),
            (ValueRef::Int(7), Some(5))
        );
    }
}
