//! Everything there is, and how time passes.

use std::collections::BTreeMap;

use gatehouse_config::ObjectKey;

use crate::api::{Api, Write};
use crate::chance::Chance;
use crate::machines::Node;

pub struct World {
    pub api: Api,
    pub nodes: Vec<Node>,
    /// Requests of nodes that crashed or were cut off, still on their way.
    pub strays: Vec<Write>,
    pub now: u64,
    pub chance: Chance,
    pub seed: u64,
    pub made: u64,
    /// Services that something happened to which may move them, by what.
    pub reasons: BTreeMap<ObjectKey, &'static str>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            api: Api::default(),
            nodes: vec![Node::new(0), Node::new(0)],
            strays: Vec::new(),
            now: 0,
            chance: Chance(seed),
            seed,
            made: 0,
            reasons: BTreeMap::new(),
        }
    }

    pub fn fail(&self, what: &str) -> ! {
        panic!("GATEHOUSE_SEED={}: {what}, at {}", self.seed, self.now);
    }

    pub fn step(&mut self) {
        self.now += self.chance.below(4);
        self.user();
        self.trouble();
        for node in 0..self.nodes.len() {
            self.work(node);
        }
        self.deliver_strays(false);
    }

    pub fn work(&mut self, node: usize) {
        if self.nodes[node].cut {
            return;
        }
        self.lead(node);
        if self.nodes[node].leads {
            self.converge(node);
            self.send(node);
        }
    }

    pub fn deliver_strays(&mut self, all: bool) {
        let now = self.now;
        let strays = std::mem::take(&mut self.strays);
        for stray in strays {
            if stray.arrives > now && !all {
                self.strays.push(stray);
            } else if self.chance.below(2) == 0 {
                self.arrive(&stray);
            }
        }
    }
}
