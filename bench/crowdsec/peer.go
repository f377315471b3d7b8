package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// version of CrowdSec that is in Debian 12.
const version = "1.4.6"

// unpack fetches Debian's package and unpacks it. It is never installed: its
// post-installation registers the machine with a service on the Internet.
func unpack(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "pkg/usr/bin/crowdsec")); err == nil {
		return nil
	}
	debs := filepath.Join(dir, "*.deb")
	if found, _ := filepath.Glob(debs); len(found) == 0 { // the pattern is good
		if err := quietly(dir, "apt-get", "download", "crowdsec"); err != nil {
			return err
		}
	}
	found, _ := filepath.Glob(debs)
	if len(found) != 1 || !strings.Contains(found[0], "crowdsec_"+version) {
		return fmt.Errorf("found %v, expected one package of version %s", found, version)
	}
	return quietly(dir, "dpkg-deb", "-x", found[0], filepath.Join(dir, "pkg"))
}

// configure writes the configuration of a CrowdSec that runs alone and offline:
// parsers, scenarios and data of the package, decisions in a new SQLite file.
func configure(pkg, run string, all []scenario) error {
	if err := os.RemoveAll(run); err != nil {
		return err
	}
	share, etc := filepath.Join(pkg, "usr/share/crowdsec"), filepath.Join(run, "etc")
	for _, d := range []string{"etc/parsers/s00-raw", "etc/parsers/s01-parse", "etc/parsers/s02-enrich", "etc/scenarios", "etc/notifications", "data", "hub", "plugins"} {
		if err := os.MkdirAll(filepath.Join(run, d), 0o755); err != nil {
			return err
		}
	}
	hub := filepath.Join(share, "hub")
	from := map[string]string{
		"hub/.index.json": filepath.Join(hub, ".index.json"),
		"etc/patterns":    filepath.Join(pkg, "etc/crowdsec/patterns"), "etc/profiles.yaml": filepath.Join(pkg, "etc/crowdsec/profiles.yaml"), "etc/simulation.yaml": filepath.Join(pkg, "etc/crowdsec/simulation.yaml"),
		// The scenario asks for a name that the package does not have.
		"data/http_path_traversal.txt": filepath.Join(share, "data/path_traversal.txt"),
	}
	for _, p := range []string{"s00-raw/syslog-logs", "s01-parse/nginx-logs", "s02-enrich/http-logs", "s02-enrich/dateparse-enrich"} {
		stage, name, _ := strings.Cut(p, "/")
		from["etc/parsers/"+p+".yaml"] = filepath.Join(hub, "parsers", stage, "crowdsecurity", name+".yaml")
	}
	for _, s := range all {
		from["etc/scenarios/"+s.file+".yaml"] = filepath.Join(hub, "scenarios/crowdsecurity", s.file+".yaml")
	}
	for to, src := range from {
		if err := quietly(run, "cp", "-r", src, to); err != nil {
			return err
		}
	}
	if err := quietly(run, "sh", "-c", "cp -r "+filepath.Join(share, "data")+"/. data/"); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	keys := filepath.Join(etc, "local_api_credentials.yaml")
	for name, text := range map[string]string{"etc/acquis.yaml": "", "etc/local_api_credentials.yaml": fmt.Sprintf("url: http://127.0.0.1:%d/\nlogin: bench\npassword: bench\n", port),
		"config.yaml": strings.NewReplacer("RUN", run, "PORT", fmt.Sprint(port)).Replace(config)} {
		if err := os.WriteFile(filepath.Join(run, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return quietly(run, filepath.Join(pkg, "usr/bin/cscli"), "-c", "config.yaml", "machines", "add", "bench", "--password", "bench", "-f", keys, "--force")
}

const config = `common: {daemonize: false, log_media: stdout, log_level: info, working_dir: .}
config_paths: {config_dir: RUN/etc/, data_dir: RUN/data/, simulation_path: RUN/etc/simulation.yaml, hub_dir: RUN/hub/, index_path: RUN/hub/.index.json, notification_dir: RUN/etc/notifications/, plugin_dir: RUN/plugins/}
crowdsec_service: {acquisition_path: RUN/etc/acquis.yaml, parser_routines: 1}
cscli: {output: human}
db_config: {log_level: info, type: sqlite, db_path: RUN/data/crowdsec.db, use_wal: true, flush: {max_items: 50000, max_age: 7000d}}
plugin_config: {user: nobody, group: nogroup}
api:
  client: {insecure_skip_verify: false, credentials_path: RUN/etc/local_api_credentials.yaml}
  server: {log_level: info, listen_uri: "127.0.0.1:PORT", profiles_path: RUN/etc/profiles.yaml}
prometheus: {enabled: false}
`

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	var n int
	_, err = fmt.Sscan(port, &n)
	return n, err
}

func quietly(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
