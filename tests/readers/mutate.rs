//! Random changes of a corpus: flipped bits, other bytes, cuts, repetitions, pieces of two files, numbers at the edges of their
//! types. No coverage leads them; the fuzzer of fuzz/ does better where it can be built.

use autofas_bench::base::rng::{self, Generator};
use rand::RngExt;

/// Texts that readers have reason to fear, and the edges of binary numbers.
const TOKENS: [&[u8]; 16] = [
    b"-1",
    b"0",
    b"18446744073709551615",
    b"9223372036854775808",
    b"1e999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"\"",
    b"\n",
    b"\xff\xfe",
    &[0xff; 4],
    &[0xff; 8],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0; 8],
];

/// An endless row of inputs.
pub struct Changes<'a> {
    corpus: Vec<&'a [u8]>,
    draw: Generator,
}

impl<'a> Changes<'a> {
    /// Of a corpus with at least one file; `name` seeds them.
    pub fn new(name: &str, corpus: &'a [(String, Vec<u8>)]) -> Self {
        let corpus = corpus.iter().map(|(_, content)| &content[..]).collect();
        Self { corpus, draw: rng::generator(0, &format!("fuzz/{name}")) }
    }

    /// The next input: one to four changes of a file.
    pub fn next(&mut self) -> Vec<u8> {
        let mut content = self.any().to_vec();
        for _ in 0..self.draw.random_range(1..=4) {
            self.change(&mut content);
        }
        content
    }

    fn any(&mut self) -> &'a [u8] {
        self.corpus[self.draw.random_range(0..self.corpus.len())]
    }

    /// A range within so many bytes, short ones more often.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let begin = self.draw.random_range(0..=length);
        let most = (length - begin).min(1 << self.draw.random_range(0..12));
        begin..begin + self.draw.random_range(0..=most)
    }

    fn change(&mut self, content: &mut Vec<u8>) {
        let place = self.draw.random_range(0..=content.len());
        match self.draw.random_range(0..8) {
            0 if place < content.len() => content[place] ^= 1 << self.draw.random_range(0..8),
            1 if place < content.len() => content[place] = self.draw.random_range(0..=255),
            2 => content.truncate(place),
            3 => drop(content.drain(self.range(content.len()))),
            4 => {
                let piece = content[self.range(content.len())].to_vec();
                content.splice(place..place, piece);
            }
            5 => {
                let other = self.any();
                let piece = other[self.range(other.len())].to_vec();
                let into = self.range(content.len());
                content.splice(into, piece);
            }
            6 => {
                let token = TOKENS[self.draw.random_range(0..TOKENS.len())];
                let end = (place + token.len()).min(content.len());
                content.splice(place..end, token.iter().copied());
            }
            _ => self.number(content),
        }
    }

    /// Puts a token in the place of a written number.
    fn number(&mut self, content: &mut Vec<u8>) {
        let digits: Vec<usize> = (0..content.len()).filter(|&i| content[i].is_ascii_digit()).collect();
        if digits.is_empty() {
            return;
        }
        let begin = digits[self.draw.random_range(0..digits.len())];
        let end = (begin..content.len()).find(|&i| !content[i].is_ascii_digit()).unwrap_or(content.len());
        let token = TOKENS[self.draw.random_range(0..TOKENS.len())];
        content.splice(begin..end, token.iter().copied());
    }
}
