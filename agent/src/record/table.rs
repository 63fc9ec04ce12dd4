//! Every field of every dict, once (specification, "Record definitions").

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::{Devices, Dict, Field, FieldType, FsState, Opaque, SeState, Secret, Update, View, Visibility};

macro_rules! dicts {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident = $python:literal {
            $($field:ident: $ty:ty, $update:ident, $need:ident, $visibility:ident, $fdoc:literal;)*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct $name {
                $(#[doc = $fdoc] pub $field: Option<$ty>,)*
                /// Keys that the specification does not know, passed on unchanged.
                pub extra: BTreeMap<String, Value>,
            }

            impl Dict for $name {
                const NAME: &'static str = $python;
                const FIELDS: &'static [Field] = &[$(Field {
                    name: stringify!($field),
                    ty: <$ty as FieldType>::TYPE,
                    update: Update::$update,
                    optional: need!($need),
                    visibility: Visibility::$visibility,
                    doc: $fdoc,
                },)*];

                fn get(&self, index: usize, view: View) -> Option<Value> {
                    let mut _at = 0;
                    $(
                        if index == _at {
                            return self.$field.as_ref().map(|value| value.print(view));
                        }
                        _at += 1;
                    )*
                    None
                }

                fn set(&mut self, index: usize, value: &Value) -> Result<(), String> {
                    let mut _at = 0;
                    $(
                        if index == _at {
                            self.$field = <$ty as FieldType>::parse(value)?;
                            return Ok(());
                        }
                        _at += 1;
                    )*
                    Ok(())
                }

                fn extra(&self) -> &BTreeMap<String, Value> {
                    &self.extra
                }

                fn extra_mut(&mut self) -> &mut BTreeMap<String, Value> {
                    &mut self.extra
                }
            }
        )*

        /// Every dict's name and fields, for documentation and tests.
        pub const ALL: &[(&str, &[Field])] = &[$(($python, $name::FIELDS),)*];
    };
}

macro_rules! need {
    (required) => {
        false
    };
    (optional) => {
        true
    };
}

dicts! {
    /// A storage server: an array, a filer, or this host's own disks ("Storage Server Record").
    StorageServer = "ss_record" {
        name: String, OnlyIfEmpty, required, Shown, "User-friendly name, given at registration.";
        uuid: Uuid, OnlyIfEmpty, required, Shown, "The storage server's UUID, generated at registration.";
        storage_server_id: String, Yes, optional, Shown, "The plug-in's own identifier of the storage server.";
        storage_type: String, No, required, Shown, "`SAN`, `iSCSI`, `NetworkFS` or `LocalFS`.";
        chap: bool, No, optional, Shown, "Whether the storage server requires CHAP authentication.";
        admin_host: String, No, required, Shown, "Host name or IP address used to administrate the storage server.";
        admin_user: String, No, required, Shown, "Administrator's user name.";
        admin_passwd: Secret, No, required, Secret, "Administrator's password; write-only.";
        netdevs: Vec<String>, No, optional, Shown, "Network devices to use for iSCSI traffic.";
        status: String, Yes, required, Shown, "Current status.";
        total_sz: i64, Yes, optional, Shown, "Total size in bytes; -1 is not applicable.";
        used_sz: i64, Yes, optional, Shown, "Space really used, in bytes; -1 is not applicable.";
        free_sz: i64, Yes, optional, Shown, "Space available, in bytes; -1 is not applicable.";
        alloc_sz: i64, Yes, optional, Shown, "Space allocated, reservations included, in bytes; -1 is not applicable.";
        access_grps: Vec<AccessGroup>, No, required, Shown, "The access groups of the storage server.";
        vol_groups: Vec<VolumeGroup>, Yes, optional, Shown, "The volume groups of the storage server.";
        storage_name: String, No, optional, Shown, "Name of the controller, where one manager has several.";
        storage_id: Vec<String>, Yes, optional, Shown, "Identifiers of the storage server, such as iSCSI target names.";
        storage_desc: String, Yes, required, Shown, "Description.";
        extra_info: String, No, optional, Shown, "Information for the plug-in only.";
        access_descriptors: Vec<AccessDescriptor>, No, optional, Shown, "Access hosts of an iSCSI storage server (Form 2).";
        access_host: String, No, optional, Shown, "Host name or IP address used to access the storage.";
        access_port: i64, OnlyIfEmpty, optional, Shown, "Port used to access the storage.";
        username: String, No, optional, Shown, "User name for access.";
        passwd: Secret, No, optional, Secret, "Password for access; write-only.";
    }

    /// One way to reach an iSCSI storage server ("access_descriptor dict definition").
    AccessDescriptor = "access_descriptor" {
        access_host: String, No, optional, Shown, "Host name or IP address used to access the storage.";
        access_port: i64, OnlyIfEmpty, optional, Shown, "Port used to access the storage.";
        username: String, No, optional, Shown, "User name for access.";
        passwd: Secret, No, optional, Secret, "Password for access; write-only.";
    }

    /// Who may see an element or mount a file system ("access_grp dict definition").
    AccessGroup = "access_grp" {
        grp_name: String, Yes, required, Shown, "Name of the access group.";
        grp_entries: Vec<String>, Yes, required, Shown, "WWNs, iSCSI initiators or host names.";
        grp_modes: Vec<String>, Yes, optional, Shown, "Modes, such as NFS export options.";
    }

    /// What elements and file systems are carved from ("vol_group dict definition").
    VolumeGroup = "vol_group" {
        vol_name: String, Yes, required, Shown, "Name of the volume group.";
        vol_total_sz: i64, Yes, required, Shown, "Total size in bytes.";
        vol_used_sz: i64, Yes, required, Shown, "Space really used, in bytes.";
        vol_free_sz: i64, Yes, required, Shown, "Space available, in bytes.";
        vol_alloc_sz: i64, Yes, optional, Shown, "Space allocated, reservations included, in bytes.";
        vol_desc: String, Yes, optional, Shown, "Description.";
    }

    /// A quality of service ("qos_vals dict definition").
    QosValue = "qos_vals" {
        priority: i64, Yes, required, Shown, "Priority, 0 being the highest.";
        value: String, Yes, required, Shown, "The name the storage server knows it by.";
        description: String, Yes, optional, Shown, "Description.";
    }

    /// A LUN, snapshot or clone ("Storage Element Record").
    StorageElement = "se_record" {
        se_type: String, Yes, required, Shown, "`LUN`, `GhostLUN`, `Snap`, `SnapClone` or `Clone`.";
        ss_uuid: Uuid, OnlyIfEmpty, required, Shown, "UUID of the storage server.";
        name: String, OnlyIfEmpty, required, Shown, "User-friendly name.";
        uuid: Uuid, Yes, required, Shown, "UUID of the element, where the storage server has them.";
        page83_id: String, Yes, required, Shown, "SCSI page 83 identifier.";
        id: String, Yes, optional, Shown, "The plug-in's own identifier.";
        vendor: String, Yes, optional, Shown, "SCSI vendor.";
        product_id: String, Yes, optional, Shown, "SCSI product.";
        path: Vec<String>, Yes, optional, Shown, "Device paths on this host.";
        array_path: String, Yes, optional, Shown, "Path on the storage server.";
        size: i64, Yes, required, Shown, "Size in bytes.";
        status: String, Yes, required, Shown, "Status.";
        vol_group_name: String, Yes, optional, Shown, "The volume group it is in.";
        access_grp_names: Vec<String>, Yes, required, Shown, "The access groups it is presented to.";
        qos: String, Yes, optional, Shown, "Quality of service.";
        state: SeState, Yes, required, Shown, "State.";
        async_handle: Opaque, Yes, optional, Transient, "The plug-in's handle of an asynchronous operation.";
        async_progress: i64, Yes, optional, Transient, "Progress of an asynchronous operation, in percent; -1 is unknown.";
        extra_info: String, No, optional, Shown, "Information for the plug-in only.";
    }

    /// A file system ("File System Record").
    FileSystem = "fs_record" {
        access_path: String, Yes, optional, Shown, "Access path of a networked file system.";
        ss_uuid: Uuid, OnlyIfEmpty, required, Shown, "UUID of the storage server.";
        name: String, OnlyIfEmpty, required, Shown, "User-friendly name.";
        mount_options: Vec<String>, Yes, required, Shown, "Default mount options.";
        export_opts: Vec<String>, Yes, required, Shown, "Options the file system is exported with.";
        array_path: String, Yes, optional, Shown, "Path on the storage server.";
        uuid: Uuid, Yes, required, Shown, "UUID of the file system.";
        size: i64, Yes, required, Shown, "Size in bytes.";
        free_sz: i64, Yes, required, Shown, "Space available, in bytes.";
        status: String, Yes, required, Shown, "Status.";
        state: FsState, Yes, required, Shown, "State.";
        access_grp_names: Vec<String>, Yes, optional, Shown, "The access groups it is exported to.";
        qos: String, Yes, optional, Shown, "Quality of service.";
        backing_device: Devices, No, optional, Shown, "What it is made on.";
        async_handle: Opaque, Yes, optional, Transient, "The plug-in's handle of an asynchronous operation.";
        async_progress: i64, Yes, optional, Transient, "Progress of an asynchronous operation, in percent; -1 is unknown.";
        extra_info: String, No, optional, Shown, "Information for the plug-in only.";
    }

    /// A file, directory or snapshot in a file system ("File Record").
    File = "file_record" {
        fr_type: String, Yes, required, Shown, "`File`, `Directory`, `SymLink`, `Snap`, ….";
        file_path: String, Yes, required, Shown, "Path, which can be relative to the mount point.";
        ondisk_sz: i64, Yes, optional, Shown, "Space used on disk, in bytes.";
        file_sz: i64, Yes, required, Shown, "Apparent size in bytes.";
        fs_uuid: Uuid, OnlyIfEmpty, required, Shown, "UUID of the file system.";
        name_pattern: String, Yes, optional, Shown, "Regular expression that a listing is filtered by.";
        shared_sz: i64, Yes, optional, Shown, "Bytes shared with another file.";
        snap_name: String, Yes, optional, Shown, "Name of the snapshot.";
        dest_path: String, Yes, optional, Shown, "Destination of a symbolic link.";
        async_handle: Opaque, Yes, optional, Transient, "The plug-in's handle of an asynchronous operation.";
        async_progress: i64, Yes, optional, Transient, "Progress of an asynchronous operation, in percent; -1 is unknown.";
        extra_info: String, No, optional, Shown, "Information for the plug-in only.";
    }

    /// Where a file system is mounted ("Mount Record").
    Mount = "mount_record" {
        uuid: Uuid, OnlyIfEmpty, required, Shown, "UUID of the mount.";
        fs_uuid: Uuid, OnlyIfEmpty, required, Shown, "UUID of the file system.";
        mount_point: String, Yes, required, Shown, "Absolute path of the mount point.";
        options: Vec<String>, Yes, optional, Shown, "Mount options in use.";
        share_path: String, Yes, optional, Shown, "Path appended to the exported one.";
        status: String, Yes, required, Shown, "Status for display.";
        extra_info: String, No, optional, Shown, "Information for the plug-in only.";
    }

    /// What a file system can be made on ("Backing Device").
    BackingDevice = "backing_device" {
        name: String, Yes, required, Shown, "Name.";
        total_sz: i64, Yes, required, Shown, "Total size in bytes.";
        free_sz: i64, Yes, required, Shown, "Space available, in bytes.";
        value: String, Yes, required, Shown, "What the storage server identifies it by.";
        description: String, Yes, optional, Shown, "Description.";
    }
}
