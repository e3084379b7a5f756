"""What the manual pages say beyond the help texts: environment, credentials, files, statuses.

A paragraph whose first line is a backspace is shown as it stands, as click has it.
"""

from typing import Final

FILES: Final = """\
/etc/azfuse/config.toml, ~/.config/azfuse/config.toml
  Defaults and named mounts, see azfuse.toml(5).

/var/lib/azfuse, ~/.local/state/azfuse
  What outlives a mount: its journal, leases and inode numbers.
"""
STATUS: Final = """\
0 for success, 1 for what failed, 2 for wrong words, 3 for a mount that the service refuses: it
does not take the credentials, and trying again is no use. One sentence on standard error says why.
"""
EMULATOR_STATUS: Final = """\
0 for success, 1 for what failed, 2 for wrong words; one sentence on standard error says why.
"""
#: mount(8), "EXIT STATUS".
MOUNT_STATUS: Final = """\
0 for success, 1 for wrong words, 32 for what failed; one sentence on standard error says why.
"""
CREDENTIALS: Final = """\
Never on the command line, where everyone could read them. azfuse looks in this order: a file
(-o credentials=FILE, or --credentials FILE of commands that mount nothing), the credential azfuse
of systemd, the environment (see ENVIRONMENT). An emulator on the same machine needs none.

A credentials file is TOML. It belongs to root or to you, and nobody else may read it (mode 0600):

\b
  account = "myaccount"
  key = "bXkga2V5..."

Instead of key: sas = "sv=...&sig=...", or connection_string = "...", or auth_mode = "login" for
Entra ID. A SAS is read again when the file changes. The lines of mount.cifs(8) will do as well,
without quotes:

\b
  username=myaccount
  password=bXkga2V5...

A service of systemd is given such a file by a line in its unit, and needs no option:

\b
  LoadCredential=azfuse:/etc/azfuse/share.cred
"""
OUR_ENVIRONMENT: Final = {
    "AZFUSE_CONFIG": "The config file, instead of those of machine and user; --config goes before.",
    "AZFUSE_<OPTION>": "An option of azfuse mount -o, in capitals and with underscores, such as "
    "AZFUSE_CACHE_SIZE=1G; true or false for one that takes no value, such as AZFUSE_RO=true. "
    "-o goes before it, it goes before the config file.",
    "XDG_CONFIG_HOME": "Instead of ~/.config.",
}
ENVIRONMENT: Final = {
    "AZURE_STORAGE_CONNECTION_STRING": "The account, its endpoint, and its key or a SAS.",
    "AZURE_STORAGE_KEY": "A key of the account. Not looked at beside a connection string.",
    "AZURE_STORAGE_SAS_TOKEN": "A shared access signature. Not looked at beside those above.",
    "AZURE_STORAGE_ACCOUNT": "The account, where only a share is named. If the source names one, "
    "it must be the same.",
    "AZURE_STORAGE_AUTH_MODE=login": "Where there is none of the secrets above, Entra ID through "
    "azure-identity: managed identity, Azure CLI, ...; AZURE_TOKEN_CREDENTIALS chooses.",
    "AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET": "A service principal, for Entra ID.",
    **OUR_ENVIRONMENT,
    "XDG_STATE_HOME": "Instead of ~/.local/state.",
}
EMULATOR_ENVIRONMENT: Final = {
    "AZFUSE_EMULATOR_ACCOUNTS": "Accounts and keys, as --accounts has them.",
}
MOUNT: Final = """\
mount(8) calls this for the type azfuse, or azfuse itself for fuse.azfuse. It returns when the
share is mounted; a daemon serves it until it is unmounted, and ends when all is saved. What root
mounts so is open to all users as far as modes allow.

-s ignores unknown options, -f does everything but the mount, -v shows what is mounted, -n is
accepted.

-o remount with ro, rw, noatime, nosuid, nodev or noexec changes a mount as it runs; remount,ro
returns when everything is on the share.

A line of fstab(5):

\b
account/share  /mnt/share  azfuse  _netdev,nofail,credentials=/etc/my.cred  0 0

umount(8) then calls umount.fuse.azfuse and returns when everything is saved. Without _netdev, or
another word that mount(8) keeps to itself, it asks no helper, and azfuse goes on saving when it
has returned.
"""
UMOUNT: Final = """\
umount(8) calls this for what was mounted with _netdev or the like, see mount.azfuse(8). It returns
when everything is on the share.

-l and -f wait for nothing: azfuse goes on saving by itself. -n, -r and -v are accepted.
"""
CONFIG: Final = """\
The config file says in TOML what holds for every mount of azfuse, and gives mounts names: then
azfuse mount NAME is enough, without source, mount point and options.

Two files are read, that of the machine and then that of the user, whose words win (see FILES).
With --config FILE, or where AZFUSE_CONFIG names a file, that one is read instead of both.

Options for all mounts are in the table [defaults], those of one in [mounts.NAME]; NAME has no
slash and no colon. A named mount goes before [defaults], the environment (AZFUSE_CACHE_SIZE and
the like) before both, -o before all. What is false takes back what is true in a weaker place.

Relative paths begin at the directory of the file. Secrets do not belong here but into a file of
their own, which credentials names: see CREDENTIALS in azfuse(1).

azfuse config check finds every error, with file, line and key; azfuse config show NAME prints
what holds for a mount, as it can be written here, and who said so.
"""
PLACE: Final = {
    "source": "text in quotes, needed: the share, as account/share[/directory] or a URL, as "
    "azfuse mount takes it.",
    "mountpoint": "a path in quotes: where it is mounted, unless the command names a directory.",
}
CONFIG_EXAMPLE: Final = """\
\b
  [defaults]
  cache-size = "1G"

\b
  [mounts.team]                   # azfuse mount team
  source = "account/share"
  mountpoint = "/srv/team"
  credentials = "team.cred"       # beside this file
  ro = true
"""
CONFIG_FILES: Final = """\
/etc/azfuse/config.toml
  Of the machine.

~/.config/azfuse/config.toml
  Of the user; its words win.
"""
