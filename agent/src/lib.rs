//! osc-agent.
