//! The program's own pages in memory; why they are let go of: docs/decisions/0008-memory-given-back.md.
#![allow(unsafe_code)]

use std::fs;
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// Lets go of the program's own code and constants: most of them are for what happens once, and
/// those that are needed come back, sixteen pages at a time, from where the kernel keeps the file.
pub fn give_code_back() {
    let (Ok(program), Ok(map)) = (
        fs::read_link("/proc/self/exe"),
        fs::read_to_string("/proc/self/smaps"),
    ) else {
        return;
    };
    for pages in unchanged(&map, &program.display().to_string()) {
        let start = ptr::with_exposed_provenance_mut(pages.start);
        // SAFETY: the pages are those of a file, nothing may write to them, and none of them differs
        // from the file (all of which `unchanged` looked at): the kernel reads each from there as it
        // was, should it be needed again.
        let given = unsafe { madvise(start, pages.len(), Advice::LinuxDontNeed) };
        if let Err(error) = given {
            tracing::debug!(%error, "code is not given back");
        }
    }
}

/// Where a program's file stands in memory such that nothing may write there and nothing differs
/// from the file. `map` is smaps of proc(5).
fn unchanged(map: &str, program: &str) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut place = None;
    for line in map.lines() {
        if let Some(found) = mapping(line) {
            place = Some(found).filter(|_| {
                let mut words = line.split_ascii_whitespace();
                let may = words.nth(1).unwrap_or_default();
                matches!(may, "r--p" | "r-xp") && line.ends_with(program)
            });
        }
        // Pages of its own, in memory or swapped out: what the loader changed before it took away the
        // right to write, or what a debugger put there.
        let own = line.strip_prefix("Anonymous:");
        if own.is_some_and(|own| own.trim() != "0 kB") {
            place = None;
        }
        if let Some(swapped) = line.strip_prefix("Swap:")
            && let Some(place) = place.take()
            && swapped.trim() == "0 kB"
        {
            all.push(place);
        }
    }
    all
}

/// The first line of a mapping: `START-END rights …`.
fn mapping(line: &str) -> Option<Range<usize>> {
    let (place, _) = line.split_once(' ')?;
    let (start, end) = place.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_the_file_is_let_go_of() {
        let map = "\
            1000-3000 r--p 00000000 fe:00 17 /bin/it\n\
            Anonymous: 0 kB\nSwap: 0 kB\nVmFlags: rd mr mw me\n\
            3000-9000 r-xp 00002000 fe:00 17 /bin/it\n\
            Anonymous:             0 kB\nSwap:       0 kB\n\
            a000-b000 r--p 00008000 fe:00 17 /bin/it\n\
            Anonymous: 4 kB\nSwap: 0 kB\n\
            b000-c000 r--p 00008000 fe:00 17 /bin/it\n\
            Anonymous: 0 kB\nSwap: 4 kB\n\
            c000-d000 rw-p 00009000 fe:00 17 /bin/it\n\
            Anonymous: 0 kB\nSwap: 0 kB\n\
            d000-e000 r-xp 00000000 fe:00 18 /lib/other.so\n\
            Anonymous: 0 kB\nSwap: 0 kB\n\
            e000-f000 r--p 00000000 00:00 0\n\
            Anonymous: 0 kB\nSwap: 0 kB\n";
        assert_eq!(unchanged(map, "/bin/it"), [0x1000..0x3000, 0x3000..0x9000]);
        assert!(unchanged("", "/bin/it").is_empty());
    }

    /// Kilobytes of this program's code that are in memory.
    fn resident() -> u64 {
        let program = fs::read_link("/proc/self/exe").expect("there is /proc");
        let program = program.display().to_string();
        let map = fs::read_to_string("/proc/self/smaps").expect("there is /proc");
        let mut lines = map
            .lines()
            .skip_while(|line| !(line.contains(" r-xp ") && line.ends_with(&program)));
        let line = lines.find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.and_then(|text| text.parse().ok());
        kilobytes.expect("it is mapped")
    }

    #[test]
    fn code_is_let_go_of_and_comes_back() {
        let before = resident();
        give_code_back();
        let after = resident();
        assert!(after < before, "{before} kB before, {after} kB after");
    }
}
