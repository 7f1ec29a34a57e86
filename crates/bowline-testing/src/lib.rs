//! Mock systems for tests of automations: real HTTP on loopback.
