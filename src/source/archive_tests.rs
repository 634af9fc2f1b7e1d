#![allow(clippy::unwrap_used)]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use tar::{Builder, Header};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar with one entry for each path, which is written unchecked.
fn tar_of(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, bytes) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(packed: &[u8]) -> Result<Files, Flaw> {
    let mut files = Files::default();
    unpack(packed, &mut files).map(|()| files)
}

#[test]
fn files_come_out_byte_for_byte() {
    let tar = tar_of(&[
        (EntryType::XGlobalHeader, "pax_global_header", b"18 comment=abcdef\n"),
        (EntryType::Directory, "./m/", b""),
        (EntryType::Regular, "./m/1_crlf.sql", b"SELECT 1;\r\n"),
        (EntryType::Regular, "m/2_empty.sql", b""),
        (EntryType::Regular, "m/3_unended.sql", b"SELECT 3"),
        (EntryType::Regular, "m/4_mark.sql", b"\xef\xbb\xbfSELECT 4;\n"),
    ]);
    for packed in [tar.clone(), gzip(&tar), [gzip(&tar[..700]), gzip(&tar[700..])].concat()] {
        let files = unpacked(&packed).unwrap();
        let found: Vec<_> = files.iter().collect();
        assert_eq!(
            found,
            [
                ("m/1_crlf.sql", &b"SELECT 1;\r\n"[..]),
                ("m/2_empty.sql", b""),
                ("m/3_unended.sql", b"SELECT 3"),
                ("m/4_mark.sql", b"\xef\xbb\xbfSELECT 4;\n"),
            ]
        );
        assert_eq!(files.folders().collect::<Vec<_>>(), ["m"]);
    }
}

#[test]
fn a_long_name_is_a_name_like_any_other() {
    let path = format!("m/{}/migration.sql", "x".repeat(250));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(2);
    builder.append_data(&mut header, &path, &b"--"[..]).unwrap();
    let files = unpacked(&gzip(&builder.into_inner().unwrap())).unwrap();
    assert_eq!(files.iter().next(), Some((path.as_str(), &b"--"[..])));
}

#[test]
fn what_leads_elsewhere_is_refused() {
    for (kind, path) in [
        (EntryType::Regular, "../up.sql"),
        (EntryType::Regular, "m/../../up.sql"),
        (EntryType::Regular, "/etc/passwd"),
        (EntryType::Regular, "m\\..\\up.sql"),
        (EntryType::Directory, "../m"),
    ] {
        let tar = tar_of(&[(kind, path, b"")]);
        assert_eq!(unpacked(&tar), Err(Flaw::Path { path: path.into() }));
    }
    for kind in [EntryType::Symlink, EntryType::Link] {
        let tar = tar_of(&[(kind, "a.sql", b"")]);
        assert_eq!(unpacked(&tar), Err(Flaw::Link { path: "a.sql".into() }));
    }
    for kind in [EntryType::Fifo, EntryType::Char, EntryType::Block, EntryType::GNUSparse] {
        assert!(unpacked(&tar_of(&[(kind, "a.sql", b"")])).is_err(), "{kind:?}");
    }
    let mut tar = tar_of(&[(EntryType::Regular, "a.sql", b"")]);
    tar[0] = 0xff;
    assert!(matches!(unpacked(&tar), Err(Flaw::Archive(_))), "the checksum");
    let twice = tar_of(&[
        (EntryType::Regular, "a.sql", b"1"),
        (EntryType::Regular, "./a.sql", b"2"),
    ]);
    assert_eq!(unpacked(&twice), Err(Flaw::Twice { path: "a.sql".into() }));
}

#[test]
fn what_is_broken_or_no_archive_is_told() {
    let tar = tar_of(&[(EntryType::Regular, "a.sql", &[b'x'; 3000])]);
    let packed = gzip(&tar);
    for bytes in [
        &b""[..],
        b"SELECT 1;",
        &[0x1f, 0x8b],
        &[0; 1024],
        &tar[..700],
        // Cut at the end of the file, where the padding of its last block ends, and within the block that ends an archive.
        &tar[..512 + 3000],
        &tar[..512 + 3072],
        &tar[..512 + 3072 + 511],
        &packed[..packed.len() / 2],
        &packed[..packed.len() - 4],
        // A second archive behind the first.
        &[&tar[..], &tar[..]].concat(),
        &[&packed[..], &packed[..]].concat(),
    ] {
        assert!(
            matches!(unpacked(bytes), Err(Flaw::Archive(_))),
            "{} bytes",
            bytes.len()
        );
    }
    // One block of zeros is an end, as some old tools write it; bytes of a file are none, whatever they are.
    assert!(unpacked(&tar[..512 + 3072 + 512]).is_ok());
    let zeros = tar_of(&[
        (EntryType::Regular, "a.sql", b"1"),
        (EntryType::Regular, "b.sql", &[0; 1024]),
    ]);
    assert!(unpacked(&zeros).is_ok());
    let cut = unpacked(&zeros[..1024 + 512 + 1024]);
    assert!(
        matches!(&cut, Err(Flaw::Archive(what)) if what.contains("cut off")),
        "{cut:?}"
    );
    assert!(matches!(unpacked(&gzip(&zeros[..1024])), Err(Flaw::Archive(_))));
    let mut wrong = packed.clone();
    let crc = wrong.len() - 8;
    wrong[crc] ^= 1;
    assert!(matches!(unpacked(&wrong), Err(Flaw::Archive(_))), "gzip's checksum");
}

/// 100 MiB and more of zeros in some 100 KiB.
#[test]
fn bombs_do_not_go_off() {
    let zeros = vec![0; MAX_BYTES + 1];
    let large = tar_of(&[(EntryType::Regular, "a.sql", &zeros)]);
    assert_eq!(unpacked(&gzip(&large)), Err(Flaw::TooLarge));
    let two = tar_of(&[
        (EntryType::Regular, "a.sql", &zeros[..=MAX_BYTES / 2]),
        (EntryType::Regular, "b.sql", &zeros[..=MAX_BYTES / 2]),
    ]);
    assert_eq!(unpacked(&gzip(&two)), Err(Flaw::TooLarge));
    // Bytes before and after the files count as well.
    let mut after = tar_of(&[(EntryType::Regular, "a.sql", b"")]);
    after.resize(MAX_STREAM + 1, 0);
    assert_eq!(unpacked(&gzip(&after)), Err(Flaw::TooLarge));
    let folder = tar_of(&[(EntryType::Directory, "a", &zeros)]);
    let two = [&folder[..folder.len() - 1024], &folder].concat();
    assert_eq!(unpacked(&gzip(&two)), Err(Flaw::TooLarge));
    let mut many = Builder::new(Vec::new());
    for number in 0..=MAX_FILES {
        let mut header = Header::new_gnu();
        header.set_size(0);
        many.append_data(&mut header, number.to_string(), &b""[..]).unwrap();
    }
    assert_eq!(unpacked(&gzip(&many.into_inner().unwrap())), Err(Flaw::TooMany));
}

/// tar reads the name, the target and the attributes of an entry as a whole, and the map of a sparse file.
#[test]
fn what_describes_an_entry_is_bounded() {
    let long = |kind: u8, size: usize| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_size(size as u64);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(512 + size.next_multiple_of(512), b'a');
        bytes
    };
    let file = tar_of(&[(EntryType::Regular, "a.sql", b"SELECT 1")]);
    for kind in [b'L', b'K', b'x'] {
        for size in [MAX_HEADERS, MAX_STREAM] {
            let refused = unpacked(&gzip(&[long(kind, size), file.clone()].concat())).unwrap_err();
            assert!(refused.to_string().contains("more than 64 KiB"), "{kind}: {refused}");
        }
    }
    // The header says that another block of the map follows, and so does each block.
    let mut sparse = Header::new_gnu();
    sparse.set_entry_type(EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.as_gnu_mut().unwrap().isextended = [1];
    sparse.set_cksum();
    let mut block = [0; 512];
    block[504] = 1;
    let map = [sparse.as_bytes().to_vec(), block.repeat(1000)].concat();
    let refused = unpacked(&gzip(&map)).unwrap_err();
    assert!(refused.to_string().contains("more than 64 KiB"), "{refused}");
    // The bytes after a file of any size have a limit of their own, and some KiB are usual.
    let usual = [long(b'L', 900), file.clone()].concat();
    let files = unpacked(&gzip(&[&file[..1024], &usual[..]].concat())).unwrap();
    assert_eq!(files.iter().count(), 2);
}

/// A header may state any size.
#[test]
fn a_size_is_not_believed() {
    for size in [u64::MAX, u64::MAX / 2, 1 << 40, MAX_BYTES as u64 + 1, 4096] {
        let mut header = Header::new_gnu();
        header.set_path("a.sql").unwrap();
        header.set_size(size);
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        tar.extend_from_slice(&[b'x'; 1024]);
        let refused = unpacked(&gzip(&tar)).unwrap_err();
        assert!(
            matches!(refused, Flaw::TooLarge | Flaw::Archive(_)),
            "{size}: {refused}"
        );
    }
}

/// Asserts the properties of every unpacked archive.
fn is_sound(files: &Files) {
    let mut total = 0;
    for (path, bytes) in files.iter() {
        assert!(
            !path.is_empty() && !path.starts_with('/') && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
        );
        total += bytes.len();
    }
    assert!(total <= MAX_BYTES && files.iter().count() <= MAX_FILES);
}

fn entries() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    vec(("[a-z]{1,8}(/[a-z._]{1,8}){0,3}", vec(any::<u8>(), 0..700)), 1..8)
}

fn regular(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<_> = entries
        .iter()
        .map(|(path, bytes)| (EntryType::Regular, path.as_str(), bytes.as_slice()))
        .collect();
    tar_of(&entries)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_packed_comes_out(entries in entries()) {
        let mut wanted = Files::default();
        let accepted = entries.iter().try_for_each(|(path, bytes)| wanted.insert(path, bytes.clone()));
        match unpacked(&gzip(&regular(&entries))) {
            Ok(files) => prop_assert_eq!(files, wanted),
            Err(flaw) => prop_assert_eq!(Err(flaw), accepted),
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in vec(any::<u8>(), 0..4096), head in 0_usize..3) {
        let bytes = [[&[][..], &GZIP, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]][head], &bytes].concat();
        for packed in [gzip(&bytes), bytes] {
            if let Ok(files) = unpacked(&packed) {
                is_sound(&files);
            }
        }
    }

    #[test]
    fn mutated_archives_are_survived(
        entries in entries(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        mends in any::<bool>(),
        outside in any::<bool>(),
    ) {
        let mut bytes = regular(&entries);
        if outside {
            bytes = gzip(&bytes);
        }
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // With a correct checksum the odd header reaches the code that reads it.
        if mends && !outside {
            for block in bytes.chunks_exact_mut(512) {
                let mut header = Header::from_byte_slice(block).clone();
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let cut = bytes.len() - cut.index(bytes.len()) / 8;
        for packed in [bytes[..cut].to_vec(), gzip(&bytes[..cut])] {
            if let Ok(files) = unpacked(&packed) {
                is_sound(&files);
            }
        }
    }
}
