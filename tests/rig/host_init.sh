# Makes this process the first one of a host: private mounts over a copy-on-write root. Arguments:
# the host's name, an empty folder, and the folders that are seen as they are outside.
set -e
name=$1 place=$2; shift 2
mount -t tmpfs -o size=6g host "$place"
mkdir "$place"/upper "$place"/work "$place"/root
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
root=$place/root
# A user's files and sessions must not be those of the machine outside, nor of the other hosts.
for folder in root tmp run; do mount -t tmpfs "$folder" "$root/$folder"; done
chmod 700 "$root/root"; chmod 1777 "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=16g shm "$root/dev/shm"
for shown in "$@"; do
    mkdir -p "$root$shown"
    mount --bind "$shown" "$root$shown"
    mount -o remount,bind,ro "$root$shown"
done
# What Debian's ~/.bashrc does: nothing for shells that are not interactive.
echo 'case $- in *i*) ;; *) return ;; esac' > "$root/root/.bashrc"
echo "$name" > "$root/etc/hostname"
hostname "$name"
echo ready
# As process 1 it takes over what others leave behind.
exec chroot "$root" /bin/bash -c 'exec > /dev/null 2>&1; cd /; while :; do sleep 3600 & wait $!; done'
