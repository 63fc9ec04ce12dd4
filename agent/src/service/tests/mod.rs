mod devices;
mod fake;
mod files;
mod mounts;
mod operations;
mod refreshing;
mod registering;
mod surviving;
