/**
 * What the simulated devices have to say, as templates; text.ts fills them in.
 *
 * A template is `<PRIO>text`, with its continuation lines, if any, on lines of their own. An episode is
 * a weight and templates that follow each other, with the same station throughout. In a template
 * stand for what varies:
 *
 *     {n:3-99}    a whole number          {f:0-9}      a number with one decimal
 *     {hex:8}     that many hex digits    {one:a|b|c}  one of them
 *     {seq:name}  a counter               {near:name:40-70}  a reading that drifts
 *     {pid:name}  a process id            {mac} {ip} {host} {radio} {peer}  of the episode's station
 *     {bssid} {device} {kernel} {model} {wifi} {wifibus} {eth} {wan} {lan} {gateway}  of the device
 */

export interface Model {
  model: string;
  kernel: string;
  wifi: string;
  wifibus: string;
  eth: string;
  wan: string;
  lan: string;
}

export const models: Model[] = [
  {
    model: "Router 7 (arm64)",
    kernel: "6.6.52",
    wifi: "mt7915e",
    wifibus: "0000:01:00.0",
    eth: "mtk_soc_eth 15100000.ethernet",
    wan: "eth1",
    lan: "br-lan",
  },
  {
    model: "Gateway X2",
    kernel: "6.12.21-gw",
    wifi: "ath10k_pci",
    wifibus: "0000:03:00.0",
    eth: "igb 0000:01:00.0",
    wan: "eth0",
    lan: "br0",
  },
  {
    model: "Access Point 3",
    kernel: "5.15.167",
    wifi: "ath11k_pci",
    wifibus: "0000:02:00.0",
    eth: "r8169 0000:02:00.0",
    wan: "enp2s0",
    lan: "br-lan",
  },
];

export interface Episode {
  /** How often, relative to the others. */
  weight: number;
  lines: string[];
}

/** The everyday: no shipped rule matches any of these. */
const chatter = `
60   <14>conman: I: poll {seq:poll}: {near:clients:3-19} clients, wan ok, lan ok
50   <15>netmon: {wan} rx_bytes={seq:wanrx} tx_bytes={seq:wantx} errors=0
40   <14>cloudd: {"level":"info","msg":"sync done","rev":{seq:rev},"ms":{n:12-99},"queue":0}
40   <14>telemetry: level=info op=push batch={seq:batch} n=64 took={n:3-99}ms
45   <15>statsd: flush {seq:flush}: 61 gauges, 214 counters in {f:0-9} ms
30   <30>hostapd: {radio}: STA {mac} WPA: group key handshake completed (RSN)
25   <15>steering: {mac} on {radio}: rssi {near:rssi:-82--41} dBm, 5 GHz, stays
22   <15>steering: candidate {bssid} ch {one:1|6|11|36|44|149} load {n:2-87}% for {mac}: keep
20   <14>meshd: peer {peer} rtt {f:1-9} ms quality 255 via {radio}, 1 hop
20   <14>meshd: route update seq {seq:route} from {peer}, metric unchanged
16   <30>ntpd[{pid:ntpd}]: peer 192.0.2.{n:4-9} offset {f:-9-9} ms delay 14.2 ms reach 377
14   <78>crond[{pid:cron}]: USER root pid {n:2000-31000} cmd /usr/sbin/{one:logrotate|sqm-stat} -q
12   <14>fwup: checked channel stable: {kernel} build {n:4000-4100} is current, next in {n:600-4000} s
14   <14>wand: probe ok: {wan} up {seq:wanup} s, gateway {gateway}, loss 0/5
18   <15>ubusd: call {one:network.device|system|iwinfo|luci-rpc}.status -> 0 in {n:1-40} ms
10   <14>qosd: {wan} shaped to 250 Mbit/s, backlog {n:0-90} kB, no queue over its limit
12   <15>portald: session of {mac} renewed, {n:60-7200} s left, quota 80%
10   <14>iot-bridge: zigbee 0x{hex:4} {one:report|attr|bind} cluster 0x{hex:4} lqi {n:20-255}
8    <14>iot-bridge: mqtt publish home/{one:hall|kitchen|attic}/{hex:6}/state {n:2-200} bytes qos 1
8    <30>dnsmasq[{pid:dnsmasq}]: cache size 1000, {seq:cachein}/{seq:cacheout} cache insertions re-used
6    <30>dnsmasq[{pid:dnsmasq}]: using nameserver 192.0.2.{one:53|54}#53
6    <14>sensord: rail 3v3 {f:3-3} V, 5v0 {f:4-5} V, input {f:11-12} V, load {near:load:4-60}%
8    <15>watchdogd: kick {seq:kick}, loop {f:0-3} ms, 61 tasks, memory ok, temperature ok
6    <14>backup: chunk {seq:chunk} of {host} stored, {n:900-8192} of 8192 bytes after compression
5    <15>kvstored: compaction {seq:compact}: {n:4-60} files, {n:100-9000} keys kept, {n:0-900} expired
5    <12>cloudd: W: slow answer from api.example.net: {n:1000-9000} ms for POST /v2/state/{hex:8}
3    <12>conman: W: client {mac} asked for {n:11-60} MB in {n:1-9} s, shaped to class {n:2-5}
4    <6>{wifi} {wifibus}: mac80211 queue {n:0-3} woken after {n:1-40} ms, {n:1-64} frames pending
3    <6>{lan}: port {n:1-5}({one:lan1|lan2|wlan0|wlan1}) entered {one:blocking|forwarding|disabled} state
2    <6>{lan}: port {n:1-5}(wlan{n:0-1}-{n:1-3}) entered blocking state
     <6>{lan}: port {n:1-5}(wlan{n:0-1}-{n:1-3}) entered disabled state
     <6>{wifi} {wifibus} wlan{n:0-1}-{n:1-3}: entered allmulticast mode
3    <4>TCP: request_sock_TCP: Possible SYN flooding on port {n:80-9000}. Sending cookies.
2    <6>perf: interrupt took too long ({n:2500-9000} > {n:2000-2500}), lowering max rate to {n:20-79}000
2    <6>nf_conntrack: {n:4000-15000} entries in use of 15872, {n:0-60} early drops
2    <5>audit: type=1400 audit({seq:clock}.{n:100-999}:{n:20-900}): apparmor=ALLOWED pid={n:300-9000}
3    <30>dnsmasq-dhcp[{pid:dnsmasq}]: DHCPINFORM({lan}) {ip} {mac}
     <30>dnsmasq-dhcp[{pid:dnsmasq}]: {n:1000-99999} available DHCP range: 192.168.1.100 -- .249
3    <86>sshd[{n:2000-31000}]: Accepted publickey for admin from 192.0.2.{n:2-250} port {n:32768-60999}
     <86>sshd[{n:2000-31000}]: pam_unix(sshd:session): session opened for user admin(uid=1000)
2    <6>usb 1-{n:1-2}: new high-speed USB device number {n:2-60} using xhci-mtk
       SUBSYSTEM=usb
       DEVICE=c189:{n:1-90}
     <6>usb-storage 1-{n:1-2}:1.0: USB Mass Storage device detected
       SUBSYSTEM=usb
       DEVICE=+usb:1-1:1.0
     <6>scsi host{n:0-3}: usb-storage 1-{n:1-2}:1.0
       SUBSYSTEM=scsi
       DEVICE=+scsi:host0
4    <30>hostapd: {radio}: neighbour report: ssid "Café Größenwahn {n:1-9}" bssid {bssid} ch {n:1-13}
3    <14>portald: guest "{one:Zoë|Łukasz|Søren|美咲|Олег}" accepted the terms on {host}
2    <14>\u001b[32mnode\u001b[0m: worker {n:1-4} ready after {n:10-900} ms (heap {f:8-60} MB)
1    <14>fwup: fetching delta\t\r[{one:##    |####  |######}]\t{n:1-99}% of 41 MB
1    <12>portald: W: bad form field "name" = "a\\\\b\u0000\u0007" from {ip}
`;

/** What rules.ts looks for, with the lines around it. */
const eventful = `
1.6  <14>probe: dns server=192.0.2.{one:53|54} ms={f:2-60}
0.05 <12>probe: dns server=192.0.2.{one:53|54} error={one:timeout|servfail|unreachable}
0.04 <27>ntpd[{pid:ntpd}]: 2.pool.example.org: Temporary failure in name resolution
0.6  <14>fanctl: cpu temperature {near:cpu:44-71} C
     <15>fanctl: fan1 speed {near:fan:900-2600} rpm
0.4  <14>ping: PING {gateway} ({gateway}) 56(84) bytes of data.
     <14>ping: 64 bytes from {gateway}: icmp_seq=1 ttl=64 time={f:1-40} ms
     <14>ping: 64 bytes from {gateway}: icmp_seq=2 ttl=64 time={f:1-40} ms
     <14>ping: 2 packets transmitted, 2 received, 0% packet loss, time 1001ms
0.5  <30>hostapd: {radio}: STA {mac} IEEE 802.11: authenticated
     <30>hostapd: {radio}: STA {mac} IEEE 802.11: associated (aid {n:1-40})
     <30>hostapd: {radio}: AP-STA-CONNECTED {mac} auth_alg=open
     <30>hostapd: {radio}: STA {mac} RADIUS: starting accounting session {hex:16}
     <30>hostapd: {radio}: STA {mac} WPA: pairwise key handshake completed (RSN)
     <30>dnsmasq-dhcp[{pid:dnsmasq}]: DHCPDISCOVER({lan}) {mac}
     <30>dnsmasq-dhcp[{pid:dnsmasq}]: DHCPOFFER({lan}) {ip} {mac}
     <30>dnsmasq-dhcp[{pid:dnsmasq}]: DHCPREQUEST({lan}) {ip} {mac}
     <30>dnsmasq-dhcp[{pid:dnsmasq}]: DHCPACK({lan}) {ip} {mac} {host}
0.5  <30>hostapd: {radio}: AP-STA-DISCONNECTED {mac}
     <30>hostapd: {radio}: STA {mac} IEEE 802.11: disassociated{one:| due to inactivity}
     <15>conman: I: client {mac} ({host}) left after {n:60-90000} s, rx {seq:rx} tx {seq:tx}
0.15 <6>wlan2: deauthenticated from {bssid} (Reason: {one:2=PREV_AUTH_NOT_VALID|3=DEAUTH_LEAVING})
0.15 <6>wlan2: authenticate with {bssid} (local address={mac})
     <6>wlan2: send auth to {bssid} (try 1/3)
     <6>wlan2: authenticated
     <6>wlan2: RX AssocResp from {bssid} (capab=0x1411 status=0 aid={n:1-9})
     <6>wlan2: associated
0.15 <6>{eth} {wan}: Link is Down
     <6>{lan}: topology change detected, propagating
     <6>{eth} {wan}: Link is Up - {one:1Gbps|100Mbps|2.5Gbps}/Full - flow control {one:rx/tx|off}
     <6>IPv6: ADDRCONF(NETDEV_CHANGE): {wan}: link becomes ready
     <30>udhcpc: sending select for 198.51.100.{n:2-250}, server {gateway}
     <30>udhcpc: lease of 198.51.100.{n:2-250} obtained from {gateway}, lease time 43200
0.1  <29>netifd: Interface 'wan' has lost the connection
0.08 <28>udhcpc: sending discover
     <28>udhcpc: no lease, failing
0.05 <28>dnsmasq-dhcp[{pid:dnsmasq}]: DHCPNAK({lan}) {ip} {mac} wrong network
0.06 <29>pppd[{pid:pppd}]: No response to 5 echo-requests
     <29>pppd[{pid:pppd}]: Connection terminated.
0.3  <84>dropbear[{n:2000-31000}]: Bad password attempt for '{one:root|admin|pi|user}' from 203.0.113.{n:2-250}:{n:32768-60999}
0.15 <84>sshd[{n:2000-31000}]: Failed password for invalid user {one:test|oracle|ubnt} from 203.0.113.{n:2-250} port {n:32768-60999} ssh2
0.15 <12>conman: W: burst limit: dropping messages to prevent overflow (1666 bytes/sec).
     <12>conman: W: burst limit: {n:3-4000} messages were dropped.
0.15 <6>net_ratelimit: {n:2-900} callbacks suppressed
0.15 <6>usb 1-{n:1-2}: USB disconnect, device number {n:2-60}
       SUBSYSTEM=usb
       DEVICE=c189:{n:1-90}
0.06 <3>usb 1-{n:1-2}: device descriptor read/64, error -71
       SUBSYSTEM=usb
       DEVICE=c189:{n:1-90}
     <3>usb usb1-port{n:1-2}: unable to enumerate USB device
0.06 <3>I/O error, dev sda, sector {n:2048-976773167} op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2
     <3>Buffer I/O error on dev sda1, logical block {n:2-99999}, async page read
0.05 <3>mmcblk0: error -110 transferring data, sector {n:2-99999}, nr 8, cmd response 0x900
0.03 <2>EXT4-fs error (device sda1): ext4_lookup:1855: inode #{n:2-99999}: comm smbd: iget: bad extra_isize
0.05 <4>ubi0 warning: ubi_io_read: error -74 (ECC error) while reading 2048 bytes from PEB {n:2-999}:2048
0.05 <6>netmon[{n:2000-31000}]: segfault at {hex:2} ip 0000{hex:8} sp 0000{hex:8} error 4 in libc.so[7f{hex:6}+95000]
0.04 <4>chromium invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0
     <6>Mem-Info:
     <6>active_anon:{n:9000-60000} inactive_anon:{n:9000-60000} isolated_anon:0
     <6> active_file:{n:20-900} inactive_file:{n:20-900} isolated_file:0
     <6>oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=chromium,pid={n:2000-31000},uid=0
     <3>Out of memory: Killed process {n:2000-31000} (chromium) total-vm:{n:90000-900000}kB, anon-rss:{n:9000-90000}kB
     <6>oom_reaper: reaped process {n:2000-31000} (chromium), now anon-rss:0kB, file-rss:0kB
0.05 <4>------------[ cut here ]------------
     <4>WARNING: CPU: {n:0-3} PID: {n:2-9000} at net/mac80211/{one:rx.c:889|tx.c:1402|sta_info.c:310} ieee80211_rx_list+0x{hex:3}/0x{hex:3}
     <4>Modules linked in: {wifi} mac80211 cfg80211 nf_conntrack nft_nat xt_MASQUERADE
     <4>CPU: {n:0-3} PID: {n:2-9000} Comm: napi/phy0-{n:1-90} Not tainted {kernel} #0
     <4>Hardware name: {model} (DT)
     <4>pc : ieee80211_rx_list+0x{hex:3}/0x{hex:3} [mac80211]
     <4>lr : ieee80211_rx_napi+0x{hex:2}/0x{hex:3} [mac80211]
     <4>sp : ffffffc0{hex:8} x29: ffffffc0{hex:8} x28: 000000000000{hex:4}
     <4>Call trace:
     <4> ieee80211_rx_list+0x{hex:3}/0x{hex:3} [mac80211]
     <4> __napi_poll+0x{hex:2}/0x{hex:3}
     <4> net_rx_action+0x{hex:3}/0x{hex:3}
     <4>---[ end trace {hex:16} ]---
0.03 <3>INFO: task kworker/u8:{n:0-9}:{n:2-9000} blocked for more than 120 seconds.
0.06 <6>ath10k_pci 0000:03:00.0: firmware crashed! (guid {hex:8}-{hex:4}-{hex:4}-{hex:4}-{hex:12})
0.05 <4>CPU{n:0-3}: Core temperature above threshold, cpu clock throttled (total events = {seq:hot})
0.06 <28>procd: Instance netmon::instance1 s in a crash loop 6 crashes, {n:0-4} seconds since last crash
0.05 <29>chronyd[{pid:chronyd}]: System clock was stepped by {f:1-90} seconds
0.04 <29>hostapd: wlan1: DFS-RADAR-DETECTED freq={one:5260|5500|5580} ht_enabled=1 chan_width=3
0.05 <12>logrotate: error: error writing to /var/log/messages: No space left on device
`;

export const bootLines: string[] = lines(`
<5>Linux version {kernel} (builder@example) (gcc 12.3.0, GNU ld 2.40) #0 SMP PREEMPT
<6>Machine model: {model}
<5>Kernel command line: console=ttyS0,115200 root=/dev/mmcblk0p2 rootwait log_buf_len=4M printk.devkmsg=on
<6>printk: log buffer data + meta data: 4194304 + 14680064 = 18874368 bytes
<6>Memory: {n:400000-990000}K/1048576K available ({n:9000-14000}K kernel code, 896K rwdata, 2900K rodata)
<6>SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=4, Nodes=1
<6>rcu: Preemptible hierarchical RCU implementation.
<6>clocksource: arch_sys_counter: mask: 0xffffffffffffff max_cycles: 0x{hex:10}, max_idle_ns: 440795202592 ns
<6>smp: Brought up 1 node, 4 CPUs
<6>thermal_sys: Registered thermal governor 'step_wise'
<6>pstore: Registered ramoops as persistent store backend
<6>ramoops: using 0x100000@0x42ff0000, ecc: 0
<6>usbcore: registered new interface driver usb-storage
<6>pci {wifibus}: [14c3:7915] type 00 class 0x000280
  SUBSYSTEM=pci
  DEVICE=+pci:{wifibus}
<6>mmc0: new HS200 MMC card at address 0001
<6>mmcblk0: mmc0:0001 8GTF4R 7.28 GiB
  SUBSYSTEM=mmc
  DEVICE=b179:0
<6>EXT4-fs (mmcblk0p2): mounted filesystem {hex:8}-{hex:4}-{hex:4}-{hex:4}-{hex:12} ro
<6>VFS: Mounted root (ext4 filesystem) readonly on device 179:2.
<6>Freeing unused kernel memory: 576K
<6>Run /sbin/init as init process
<4>platform regulatory.0: Direct firmware load for regulatory.db failed with error -2
<6>{wifi} {wifibus}: HW/SW Version: 0x8a108a10, Build Time: 20{n:20-24}0{n:1-9}1{n:0-9}
<6>{eth} {wan}: Link is Up - 1Gbps/Full - flow control rx/tx
<6>IPv6: ADDRCONF(NETDEV_CHANGE): {wan}: link becomes ready
<6>{lan}: port 1(lan1) entered forwarding state
<30>procd: - init complete -
<14>agent: started on {device}, boot {hex:8}-{hex:4}-{hex:4}
<30>udhcpc: lease of 198.51.100.{n:2-250} obtained from {gateway}, lease time 43200
<30>hostapd: {radio}: interface state COUNTRY_UPDATE->ENABLED
<30>dnsmasq[{pid:dnsmasq}]: started, version 2.90 cachesize 1000
`);

export const shutdownLines: string[] = lines(`
<30>procd: - shutdown -
<30>hostapd: {radio}: AP-DISABLED
<30>dnsmasq[{pid:dnsmasq}]: exiting on receipt of SIGTERM
<14>agent: stopping on {device}, {seq:poll} polls
<6>{lan}: port 1(lan1) entered disabled state
<6>EXT4-fs (mmcblk0p2): re-mounted {hex:8}-{hex:4}-{hex:4}-{hex:4}-{hex:12} ro. Quota mode: none.
<6>reboot: Restarting system
`);

export const panicLines: string[] = lines(`
<1>BUG: kernel NULL pointer dereference, address: 00000000000000{hex:2}
<1>#PF: supervisor read access in kernel mode
<0>Oops: 0000 [#1] SMP NOPTI
<4>CPU: {n:0-3} PID: {n:2-9000} Comm: napi/phy0-{n:1-90} Not tainted {kernel} #0
<4>Hardware name: {model}, BIOS 4.19
<4>RIP: 0010:ieee80211_rx_list+0x{hex:3}/0x{hex:3} [mac80211]
<4>Call Trace:
<4> <IRQ>
<4> __napi_poll+0x{hex:2}/0x{hex:3}
<4> net_rx_action+0x{hex:3}/0x{hex:3}
<4> handle_softirqs+0x{hex:2}/0x{hex:3}
<4>---[ end trace {hex:16} ]---
<0>Kernel panic - not syncing: Fatal exception in interrupt
<0>Kernel Offset: 0x{hex:6}00 from 0xffffffff81000000
`);

export const episodes: Episode[] = (chatter + eventful)
  .split(/\n(?=\d)/)
  .slice(1)
  .map((entry) => ({ weight: parseFloat(entry), lines: lines(entry) }));

/** One template a line, from its `<` on; what doesn't begin with `<PRIO>` continues the one before. */
function lines(table: string): string[] {
  return table
    .trim()
    .split(/\n *(?=<\d+>)/)
    .map((line) => line.slice(line.indexOf("<")).replaceAll(/\n */g, "\n").trimEnd());
}
