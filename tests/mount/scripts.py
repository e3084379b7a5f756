"""Shell scripts in which real programs do what people do with them."""
# ruff: noqa: E501 (shell scripts)

from dataclasses import dataclass

#: A small source tree: directories, links, modes, an empty file, times of long ago.
TREE = """
    mkdir -p src/lib src/empty docs
    printf 'int twice(int n) { return 2 * n; }\\n' > src/lib/twice.c
    printf 'int twice(int n);\\n#include <stdio.h>\\nint main(void) { printf("%d\\\\n", twice(21)); }\\n' > src/main.c
    printf 'prog: main.o twice.o\\n\\t$(CC) -o $@ $^\\nVPATH = ../src:../src/lib\\n' > src/Makefile
    seq 1 20000 > docs/numbers
    : > docs/nothing
    printf '#!/bin/sh\\necho run\\n' > run.sh
    chmod 755 run.sh; chmod 600 docs/numbers; chmod 2750 docs
    ln -s ../run.sh docs/link; ln -s nowhere docs/dangling
    touch -d '2001-02-03 04:05:06.789 UTC' docs/numbers run.sh
"""

GIT = """
    export GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
"""


@dataclass(frozen=True)
class Script:
    """A shell script: the programs it needs, and whether it is for the long tests only."""

    name: str
    needs: str
    text: str
    long: bool = False
    #: Pattern of paths that differ on every run.
    volatile: str = "$^"
    times: bool = False


SCRIPTS = [
    Script("tar", "tar", f"""
        {TREE}
        tar cf all.tar --sort=name src docs run.sh
        mkdir out; tar xpf all.tar -C out; tar df all.tar -C out && echo same
        tar tvf all.tar | awk '{{print $1, $3, $6}}'
        rm all.tar
    """, volatile="^(src|docs|out/src|out/docs)", times=True),
    Script("cpio", "cpio", f"""
        {TREE}
        find src docs run.sh | LC_ALL=C sort | cpio -o -H newc --quiet > all.cpio
        mkdir out; cd out; cpio -idmu --quiet < ../all.cpio; cd ..
        diff -r --no-dereference src out/src && diff -r --no-dereference docs out/docs && echo same
        stat -c '%n %A %Y' out/docs/numbers out/run.sh; rm all.cpio
    """),
    Script("zip", "zip unzip", f"""
        {TREE}
        zip -qry all.zip src docs run.sh; mkdir out; unzip -q all.zip -d out
        diff -r --no-dereference docs out/docs && stat -c '%n %A' out/run.sh out/docs/numbers
        rm all.zip
    """),
    Script("rsync", "rsync", f"""
        {TREE}
        rsync -aHX src docs run.sh copy/
        rsync -aHX --itemize-changes src docs run.sh copy/ && echo nothing to do
        echo more >> docs/numbers; rm src/main.c
        rsync -a --delete --itemize-changes src docs run.sh copy/ | sort | grep -v "^.d"
        rsync -a --inplace --no-whole-file --append-verify docs copy/
        cmp docs/numbers copy/docs/numbers
    """),
    Script("cp", "", f"""
        {TREE}
        cp -a src docs run.sh .  2>&1 | sed 's/^cp: //'
        mkdir a b c; cp -a docs a; cp -r --sparse=always docs b; cp -r --reflink=auto docs c
        truncate -s 3M hole; printf x >> hole; cp --sparse=always hole hole.always
        cp --sparse=never hole hole.never; cmp hole hole.always && cmp hole hole.never
        cp --preserve=all docs/numbers kept; stat -c '%n %A %s %Y' kept a/docs/numbers; stat -c '%n %A %s' hole*
        cp -l run.sh hard 2>/dev/null; cp -s "$PWD/run.sh" soft; cp -u run.sh newer; cp -n run.sh newer
        mv docs/numbers moved; mv -n moved run.sh; mv moved docs/; install -m 711 run.sh tool
        rm hole.never; rm -f hard soft
    """),
    Script("git", "git", f"""
        {GIT}
        {TREE}
        git init -q -b main . && git add . && git commit -qm one && git status --short
        git checkout -qb side; seq 1 10 > side; git add side; git commit -qm side
        git checkout -q main; seq 5 30 > docs/nothing; git commit -qam two; git rebase -q side
        git log --format='%h %s'; git clone -q . ../clone; diff -r --no-dereference --exclude=.git . ../clone
        rm -rf ../clone; git worktree add -q wt side; ls wt; git worktree remove wt
        git stash -q; git gc -q --prune=now; git fsck --full; git status --short
        git rm -q side; git reset -q --hard; git mv run.sh ran.sh; git commit -qm moved
        git merge-base main side; git bisect start -q HEAD HEAD~1 >/dev/null; git bisect reset -q
        git checkout -q HEAD~1 2>/dev/null; cat run.sh; git diff --stat main
    """, volatile="^.git"),
    Script("make", "make gcc", f"""
        {TREE}
        mkdir build; cd build; make -s -f ../src/Makefile && ./prog; make -f ../src/Makefile
        touch ../src/main.c; make -s -f ../src/Makefile; make -q -f ../src/Makefile && echo fresh
        ar rcs libtwice.a twice.o; gcc -O2 -o static main.o -L. -ltwice; ./static
        gcc -shared -fPIC -o libtwice.so ../src/lib/twice.c
        gcc -o shared main.o -L. -l:libtwice.so -Wl,-rpath,"$PWD"; ./shared; strip shared; ./shared
        rm shared
    """, volatile="^(build|src)"),
    Script("ccache", "ccache gcc", f"""
        {TREE}
        export CCACHE_DIR="$PWD/cache"; cd src/lib
        ccache gcc -c twice.c -o one.o; ccache gcc -c twice.c -o two.o; cmp one.o two.o && echo hit
    """, volatile="^(cache|src)"),
    Script("sqlite", "", """
        cat > run.py <<'END'
        import sqlite3, sys, threading
        for mode in ("delete", "wal", "truncate", "persist"):
            a = sqlite3.connect(f"{mode}.db", isolation_level=None)
            print(a.execute(f"pragma journal_mode={mode}").fetchone())
            a.execute("create table t (n integer primary key, s text)")
            for n in range(20):
                a.execute("insert into t values (?, ?)", (n, "x" * n * 50))
            b = sqlite3.connect(f"{mode}.db", isolation_level=None, timeout=0)
            a.execute("begin immediate")
            a.execute("delete from t where n < 5")
            try:
                b.execute("begin immediate")
            except sqlite3.OperationalError as error:
                print(error)
            print(b.execute("select count(*) from t").fetchone())
            a.execute("commit")
            print(b.execute("select count(*), sum(length(s)) from t").fetchone())
            print(b.execute("pragma integrity_check").fetchone())
            a.execute("vacuum"); a.close(); b.close()
        END
        python3 run.py
    """, volatile="^persist.db-journal"),
    Script("python", "", """
        cat > run.py <<'END'
        import dbm.dumb, mailbox, os, pathlib, shelve, shutil, tempfile, zipfile, fcntl, mmap
        with shelve.open("shelf", "n") as shelf:
            shelf["a"] = list(range(1000)); shelf["b"] = {"x": 1}
        with shelve.open("shelf", "w") as shelf:
            del shelf["b"]; print(len(shelf["a"]), list(shelf))
        with dbm.dumb.open("dumb", "n") as db: db["k"] = "v"; print(db["k"])
        box = mailbox.Maildir("maildir"); key = box.add("Subject: hello\\n\\nbody\\n"); box.flush()
        print(len(box), box[key]["subject"]); box.remove(key); box.close()
        box = mailbox.mbox("mbox"); box.lock(); box.add("Subject: one\\n\\nbody\\n"); box.flush()
        box.unlock(); box.close(); print(len(mailbox.mbox("mbox")))
        with tempfile.NamedTemporaryFile(dir=".") as file: file.write(b"x"); print(os.stat(file.name).st_size >= 0)
        with tempfile.TemporaryDirectory(dir=".") as d: pathlib.Path(d, "f").write_text("t")
        with tempfile.TemporaryFile(dir=".") as file: file.write(b"abc"); file.seek(0); print(file.read())
        pathlib.Path("a").write_text("one"); pathlib.Path("b").write_text("two")
        os.replace("a", "b"); print(pathlib.Path("b").read_text(), sorted(os.listdir(".")))
        shutil.copytree("maildir", "copied"); shutil.move("copied", "moved"); shutil.rmtree("maildir")
        with zipfile.ZipFile("z.zip", "a") as z: z.writestr("m", "x" * 5000)
        with open("m", "w+b") as file:
            file.truncate(10000)
            with mmap.mmap(file.fileno(), 0) as view: view[5000:5004] = b"data"; view.flush()
        print(pathlib.Path("m").read_bytes()[4999:5005])
        with open("l", "w") as one, open("l") as two:
            fcntl.flock(one, fcntl.LOCK_EX)
            try: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error: print(error)
        END
        python3 run.py
    """, volatile="^(shelf|z.zip|moved|mbox)"),
    Script("venv", "", """
        mkdir -p pkg/hello; printf 'def main(): print("hello from the share")\\n' > pkg/hello/__init__.py
        printf '[build-system]\\nrequires=[]\\nbuild-backend="b"\\nbackend-path=["."]\\n' > pkg/pyproject.toml
        cat > pkg/b.py <<'END'
        import zipfile
        def build_wheel(where, config=None, metadata=None):
            name = "hello-1-py3-none-any.whl"
            with zipfile.ZipFile(f"{where}/{name}", "w") as z:
                z.write("hello/__init__.py")
                z.writestr("hello-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hello\\nVersion: 1\\n")
                z.writestr("hello-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
                z.writestr("hello-1.dist-info/entry_points.txt", "[console_scripts]\\nhello=hello:main\\n")
                z.writestr("hello-1.dist-info/RECORD", "")
            return name
        END
        python3 -m venv env && env/bin/pip -q --disable-pip-version-check install --no-index ./pkg
        env/bin/hello; env/bin/python -c 'import hello, sys; print(sys.prefix != sys.base_prefix)'
    """, long=True, volatile="^(env|pkg)"),
    Script("npm", "npm node", """
        mkdir -p dep app; export npm_config_cache="$PWD/cache" npm_config_update_notifier=false
        printf '{"name":"dep","version":"1.0.0","bin":{"dep":"x.js"}}' > dep/package.json
        printf '#!/usr/bin/env node\\nconsole.log("dep runs")\\n' > dep/x.js
        (cd dep && npm pack --silent); printf '{"name":"app","version":"1.0.0"}' > app/package.json
        cd app; npm install --silent --no-audit --no-fund --offline ../dep/dep-1.0.0.tgz
        node_modules/.bin/dep; ls node_modules
    """, long=True, volatile="^(cache|dep/dep-|app)"),
    Script("postgres", "initdb pg_ctl psql pgbench", """
        chown 65534 . 2>/dev/null; run() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        export HOME=/nonexistent LC_ALL=C; sockets=$(mktemp -d); chmod 777 "$sockets"
        run initdb -D data -U me -A trust >/dev/null 2>log.init || { cat log.init; exit 1; }
        run pg_ctl -w -t 200 -s -D data -o "-k $sockets -h ''" -l "$sockets/log" start || cat "$sockets/log"
        run pgbench -q -i -h "$sockets" -U me postgres >/dev/null 2>&1
        run pgbench -n -c 2 -t 20 -h "$sockets" -U me postgres 2>/dev/null | grep 'actually processed'
        run psql -At -h "$sockets" -U me -c 'select count(*) from pgbench_history' postgres
        run pg_ctl -w -t 200 -s -D data -m immediate stop
        run pg_ctl -w -t 200 -s -D data -o "-k $sockets -h ''" -l "$sockets/log" start
        run psql -At -h "$sockets" -U me -c 'select count(*) from pgbench_history' postgres
        run pg_ctl -w -t 200 -s -D data -m fast stop; rm -rf "$sockets"
    """, long=True, volatile="^(data|log.init)"),
    Script("editors", "vim ed perl sed", """
        seq 1 50 > text; chmod 640 text
        vim -es -u NONE -i NONE -N -c '%s/^1/one/' -c 'wq' text </dev/null; head -3 text
        vim -es -u NONE -i NONE -N --cmd 'set backup writebackup backupcopy=no' -c '2d' -c 'wq' text </dev/null
        vim -es -u NONE -i NONE -N --cmd 'set backup backupcopy=yes' -c '2d' -c 'wq' text </dev/null
        sed -i 's/9/nine/' text; sed -i.bak '1d' text; perl -pi -e 's/8/eight/' text
        printf '1d\\n$a\\nlast\\n.\\nw\\nq\\n' | ed -s text; wc text; sort -rno text text
        stat -c '%n %A %s' text*; ls -A
    """),
    Script("nano", "nano", """
        seq 1 5 > text; python3 - <<'END'
        import os, pty, time, sys
        child, terminal = pty.fork()
        if not child:
            os.environ.update(TERM="xterm", HOME="/nonexistent")
            os.execvp("nano", ["nano", "-I", "text"])
        for keys in (b"typed ", b"\\x0f", b"\\r", b"\\x18"):
            seen = b""
            while b"\\x1b" not in seen: seen += os.read(terminal, 65536)
            os.write(terminal, keys)
        try:
            while os.read(terminal, 65536): pass
        except OSError: pass
        os.waitpid(child, 0)
        END
        cat text
    """),
    Script("compressors", "gzip xz zstd openssl", """
        seq 1 30000 > n; touch -d '2002-02-02 UTC' n
        for tool in 'gzip -n' xz 'zstd -q --rm'; do
            $tool n; ls; stat -c %Y n.*; case $tool in zstd*) zstd -qd --rm n.zst;; *) ${tool% -n} -d n.*;; esac
        done
        sha256sum n; openssl enc -aes-256-cbc -pbkdf2 -k x -nosalt -in n -out n.enc
        openssl enc -d -aes-256-cbc -pbkdf2 -k x -nosalt -in n.enc | cmp - n && rm n.enc
    """),
    Script("dd", "", """
        seq 1 3000 > in
        for conv in notrunc excl,nocreat excl nocreat sparse sync fsync fdatasync swab lcase ucase \\
                    noerror block,sync unblock ascii ebcdic ibm; do
            rm -f out; case $conv in nocreat|notrunc) printf 'abcdefgh%.0s' $(seq 2000) > out;; esac
            dd if=in of=out bs=512 cbs=80 conv=$conv 2>err; echo $conv $? $(wc -c < out 2>/dev/null)
            [ ! -e out ] || cksum < out
        done
        dd if=in of=out bs=1000 seek=7 oflag=append conv=notrunc 2>/dev/null; cksum out
        dd if=in of=out bs=4096 oflag=direct,sync conv=fsync 2>/dev/null; echo $?; cksum < out
        dd if=in of=out bs=1 skip=5 count=10 seek=1000000 oflag=nofollow,noatime 2>/dev/null; cksum < out
        dd if=/dev/zero of=zeros bs=64k count=20 conv=sparse 2>/dev/null; stat -c '%s' zeros; rm -f err
    """),
    Script("logs", "", """
        (for n in $(seq 1 40); do echo line $n >> log; done) & writer=$!
        for n in 1 2 3; do mv log log.$n 2>/dev/null; : >> log; done; wait $writer
        cat log log.[123] 2>/dev/null | sort -V | cksum
        : > tailed; timeout 60 tail -n +1 -F tailed > seen 2>/dev/null & tail=$!
        for n in $(seq 1 20); do echo $n >> tailed; done
        until grep -qx 20 seen; do :; done
        mv tailed tailed.1; echo after > tailed; until grep -qx after seen; do :; done
        kill $tail; wait $tail 2>/dev/null; cksum < seen; rm -f log log.[123]
    """, long=True),
    Script("locks", "flock", """
        : > lock; : > count; echo 0 > count
        for n in 1 2 3 4 5 6; do
            (for m in 1 2 3 4 5; do flock lock sh -c 'echo $(($(cat count) + 1)) > count'; done) &
        done; wait; cat count
        flock -n lock -c 'flock -n lock -c true; echo $?'
        cat > run.py <<'END'
        import fcntl, os
        f = open("posix", "w+b"); f.write(b"x" * 100); f.flush()
        fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
        child = os.fork()
        if not child:
            g = open("posix", "r+b")
            for start in (0, 5, 14, 15):
                try: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start); print(start, "free")
                except OSError as error: print(start, error.errno)
            os._exit(0 if not __import__("sys").stdout.flush() else 1)
        os.waitpid(child, 0)
        END
        python3 run.py
    """),
    Script("inotify", "inotifywait", """
        mkdir d; inotifywait -qm --format '%e %f' d > events 2>/dev/null & watcher=$!
        until grep -q inotify /proc/$watcher/fdinfo/* 2>/dev/null; do :; done
        echo x > d/a; mv d/a d/b; chmod 600 d/b; mkdir d/s; rm d/b; rmdir d/s; : > d/end
        until grep -q 'CREATE end' events; do :; done; kill $watcher
        grep -v 'OPEN\\|CLOSE\\|end' events; rm events
    """),
    Script("dpkg", "dpkg-deb", """
        mkdir -p p/DEBIAN p/usr/bin p/etc; printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: m <m@m>\\nDescription: d\\n' > p/DEBIAN/control
        echo conf > p/etc/p.conf; printf '#!/bin/sh\\n' > p/usr/bin/p; chmod 755 p/usr/bin/p
        chmod -R u=rwX,go=rX p; dpkg-deb -Znone --root-owner-group -b p p.deb >/dev/null
        dpkg-deb -x p.deb out; dpkg-deb -e p.deb control; find out control | sort | xargs stat -c '%n %A'
    """, volatile=r"p\.deb"),
    Script("busybox", "busybox", """
        b=busybox; seq 1 100 > f; $b cp f g; $b mv g h; $b ln -s h l; $b tar cf t f h l; $b mkdir o
        $b tar xf t -C o; $b diff f o/h && $b find . -type l | sort; $b touch -d '2003-03-03 03:03:03' f
        $b stat -c '%n %A %s %Y' f; $b rm -rf o t; $b truncate -s 50 f; $b wc f
    """),
    Script("shell", "patch", f"""
        {TREE}
        set -C; (echo x > run.sh) 2>/dev/null || echo noclobber; set +C
        t=$(mktemp -p .); d=$(mktemp -d -p .); rm "$t"; rmdir "$d"
        diff -u docs/numbers docs/nothing > p; cp -p docs/numbers n; patch -s n < p; wc -c n; rm p n
        find . -newer docs/numbers -type f | sort; find . -links +1 -type f; find . -empty | sort
        find . -perm -u+x -type f; find src -depth -name '*.c' | sort | xargs wc -l
        du -b docs/numbers; test -x run.sh && ./run.sh; mkdir -p a/b/c; rmdir -p a/b/c
        split -l 5000 docs/numbers part.; cat part.* | cmp - docs/numbers; rm part.*
        tee -a log < run.sh > /dev/null; truncate -s +100 log; truncate -s %64 log; stat -c %s log
        chmod -R go-rwx docs; ls -lR docs | awk '{{print $1, $9}}'; rename=1; ln -sfn src latest; readlink latest
        shred -u log; comm -3 docs/nothing docs/numbers | wc -l; umask 077; : > private; stat -c %A private
    """, volatile="^docs$"),
]  # fmt: skip
