/**
 * The rules: what becomes an event. Edit this file; a running grinder reads it again after a change.
 *
 *     rule(NAME, /regex with (?<groups>)/, { labels, value, device, yes, no })
 *     json(NAME, { where: { field: "text" }, labels, value, device, yes, no })      lines with a JSON object
 *     logfmt(NAME, { where: { key: "text" }, labels, value, device, yes, no })      key=value key="quoted value"
 *     mapper(NAME, ["plain text"], (text) => ({ labels, value }), { labels, device, yes, no })
 *
 * A rule sees one record's text, unescaped and without the record's prefix; it may begin with the
 * name of the daemon. Keep in a regex a piece of plain text, five bytes or longer, that every match holds:
 * by such pieces the grinder finds candidates. Give every repetition an upper limit.
 * `labels` are groups (paths, keys) with few different values: no process ids, sectors or MAC addresses.
 * `value` is the one with a number; `device` are the device's labels in the allow-list by which to count
 * as well. `yes` and `no` are texts that must and must not match: they are checked whenever the rules are
 * loaded. Of several lines that report one thing, match one; the `no` lines show the others.
 *
 * `deno task rules test|cost|diff` says what rules match, what they cost, and what a change of them
 * would change: docs/rules.md.
 */
import { builtInEvents } from "./grinder/built_in.ts";
import { json, logfmt, mapper, rule } from "./grinder/rule.ts";

/**
 * Events that no line says: a device that falls silent and is back, reboots with their cause, clocks that
 * were set. `device` are the labels in the allow-list by which to count them; false in the place of an
 * event's settings turns it off.
 */
export const builtIn = builtInEvents({
  device: ["city", "model"],
  // No block for so many times the device's usual interval, and for at least so long.
  device_silent: { times: 5, atLeast: "5m" },
  // Rules that show that a boot was ended on purpose, or by a panic. What it has to say of that may come late.
  reboot: { wait: "60s", clean: ["clean_reboot"], panic: ["kernel_panic"] },
  clock_step: { atLeast: "10s" },
});

export default [
  // --- the kernel's life and death --------------------------------------------------------------
  rule("boot", /Linux version (?<version>\d{1,3}\.\d[\w.+-]{0,40}) \(/, {
    labels: ["version"],
    device: ["model"],
    yes: [
      "Linux version 6.18.44 (builder@ci) (gcc (GCC) 15.3.0, GNU ld (GNU Binutils) 2.46) #1 SMP",
      "Linux version 4.20.0-rc3+ (ci@build) (gcc version 8.0.1 20180413) #344 SMP PREEMPT",
    ],
    no: ["usb usb1: Manufacturer: Linux 6.6.30 xhci-hcd", "fwup: Linux version 6.6.30 is current"],
  }),

  rule("clean_reboot", /reboot: (?<how>Restarting system|Power down|System halted)/, {
    labels: ["how"],
    yes: [
      "reboot: Restarting system",
      "reboot: Restarting system with command 'recovery'",
      "reboot: Power down",
    ],
    no: ["reboot: machine restart", "procd: - shutdown -"],
  }),

  rule("kernel_panic", /(?<!end )Kernel panic - not syncing: (?<reason>[A-Za-z' _:!,/.-]{3,60})/, {
    labels: ["reason"],
    device: ["model"],
    yes: [
      "Kernel panic - not syncing: Fatal exception in interrupt",
      "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b",
      "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(179,2)",
    ],
    no: ["---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---"],
  }),

  // The line that says [#1] comes once for each oops, on every architecture.
  rule(
    "kernel_oops",
    /(?<reason>Oops|general protection fault|invalid opcode|divide error|external abort|undefined instruction|unaligned access|Kernel bug detected)[:, [][^\n]{0,60}?#\d+\]/,
    {
      labels: ["reason"],
      device: ["model"],
      yes: [
        "Oops: 0002 [#1] SMP KASAN",
        "Oops[#1]:",
        "Internal error: Oops - BUG: 00000000f2000800 [#1] PREEMPT SMP",
        "Internal error: synchronous external abort: 0000000096000210 [#1] SMP",
        "general protection fault, probably for non-canonical address 0xdead: 0000 [#2] PREEMPT SMP",
      ],
      no: [
        "traps: snmpd[812] general protection fault ip:7f1c sp:7ffc error:0 in libc.so[7f1c+26000]",
        "webui: Oops: the page could not be drawn, see issue #12 in the tracker",
      ],
    },
  ),

  rule(
    "kernel_bug",
    /(?<![A-Za-z]|watchdog: )BUG: (?<reason>(?:K[A-Z]{3,5}: )?[A-Za-z-]+(?: (?!in |at |on |for )[A-Za-z_-]+(?!\w)){0,5})/,
    {
      labels: ["reason"],
      yes: [
        "BUG: unable to handle kernel paging request at ffff88002bde1e40",
        "BUG: kernel NULL pointer dereference, address: 0000000000000010",
        "BUG: KASAN: slab-out-of-bounds in ip6_fragment+0x11c8/0x3730",
        "BUG: sleeping function called from invalid context at mm/slab.h:421",
        "[ BUG: bad unlock balance detected! ]",
      ],
      no: [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [dnsmasq:4588]",
        "conman: DEBUG: unable to handle event 12, ignored",
      ],
    },
  ),

  rule(
    "kernel_warning",
    /WARNING: (?:CPU: \d+ PID: \d+ )?(?:at )?(?<where>[a-z][\w/.-]{2,80}\.[chS]:\d+)/,
    {
      labels: ["where"],
      device: ["model"],
      yes: [
        "WARNING: CPU: 1 PID: 0 at net/sched/sch_generic.c:525 dev_watchdog+0x21c/0x220",
        "WARNING: net/mac80211/rx.c:889 at ieee80211_rx_list+0x7c/0xd4, CPU#0: napi/phy0/412",
      ],
      no: [
        "conman: WARNING: at least one server did not answer",
        "WARNING: possible recursive locking",
      ],
    },
  ),

  rule(
    "soft_lockup",
    /soft lockup - CPU#\d+ stuck for (?<seconds>\d{1,6})s! \[(?<process>[^\]:]{1,20})/,
    {
      labels: ["process"],
      value: "seconds",
      yes: [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 134s! [kworker/1:2:4588]",
        "NMI watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [dnsmasq:3996]",
      ],
      no: [
        "Kernel panic - not syncing: softlockup: hung tasks",
        "watchdog: soft lockup detector enabled",
      ],
    },
  ),

  rule(
    "hung_task",
    /INFO: task (?<process>[^\n]{1,20}?):\d+ blocked (?:in I\/O wait )?for more than (?<seconds>\d{1,6}) seconds/,
    {
      labels: ["process"],
      value: "seconds",
      yes: [
        "INFO: task jbd2/mmcblk0p2-:1193 blocked for more than 120 seconds.",
        "INFO: task udevd:5612 blocked in I/O wait for more than 143 seconds.",
        "INFO: task kworker/0:3:7985 blocked for more than 120 seconds.",
      ],
      no: ["Future hung task reports are suppressed, see sysctl kernel.hung_task_warnings"],
    },
  ),

  rule("rcu_stall", /INFO: (?<flavour>rcu_\w{1,16}) (?:self-)?detected (?:expedited )?stalls? on/, {
    labels: ["flavour"],
    yes: [
      "rcu: INFO: rcu_sched self-detected stall on CPU",
      "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
      "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 6203 jiffies",
    ],
    no: ["rcu: rcu_preempt kthread starved for 5250 jiffies! g2913 f0x0 RCU_GP_WAIT_FQS(5)"],
  }),

  rule(
    "watchdog",
    /(?<problem>watchdog did not stop|not stopping watchdog|Initiating system reboot|Watchdog detected hard LOCKUP)/,
    {
      labels: ["problem"],
      yes: [
        "watchdog: watchdog0: watchdog did not stop!",
        "iTCO_wdt iTCO_wdt.1.auto: Unexpected close, not stopping watchdog!",
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 2",
        "softdog: Initiating system reboot",
      ],
      no: ["imx2-wdt 30280000.watchdog: timeout 60 sec (nowayout=0)", "procd: - watchdog -"],
    },
  ),

  rule(
    "oom_kill",
    /ut of memory(?: \(\w{1,40}\))?: Kill(?:ed)? process \d+ \((?<process>[^)\n]{1,15})\)/,
    {
      labels: ["process"],
      device: ["model"],
      yes: [
        "Out of memory: Killed process 2213 (chromium) total-vm:812304kB, anon-rss:401232kB, UID:1000",
        "Out of memory: Kill process 845 (hostapd) score 512 or sacrifice child",
        "Memory cgroup out of memory: Killed process 991 (node) total-vm:950304kB, anon-rss:254976kB",
      ],
      no: [
        "oom_reaper: reaped process 2213 (chromium), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
        "Killed process 845 (hostapd) total-vm:10236kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB",
        "dnsmasq invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0",
      ],
    },
  ),

  rule(
    "page_allocation_failure",
    /(?<process>[\w./:-]{1,20}): page allocation failure: order:(?<order>\d{1,2})/,
    {
      labels: ["process", "order"],
      yes: [
        "ksoftirqd/1: page allocation failure: order:2, mode:0x40a20(GFP_ATOMIC|__GFP_COMP)",
        "swapper/0: page allocation failure: order:0, mode:0x20(GFP_ATOMIC), nodemask=(null)",
      ],
      no: ["warn_alloc: 3 callbacks suppressed", "SLUB: Unable to allocate memory on node -1"],
    },
  ),

  rule("segfault", /(?<process>[^\s[][^[\n]{0,14})\[\d+\]: segfault at [\da-f]+ ip /, {
    labels: ["process"],
    device: ["model"],
    yes: [
      "netmon[10579]: segfault at 4cb420 ip 00000000004cb420 sp 00007f27fd37a250 error 15",
      "php-fpm8.2[812]: segfault at 0 ip 00007f3c sp 00007ffd error 4 in libc.so.6[7f3c+195000]",
    ],
    no: [
      "supervise: child netmon[812] died: segfault at 3 of 5 restarts",
      "app[3]: segfault at startup",
    ],
  }),

  rule(
    "fatal_signal",
    /(?:traps: (?<process>[^[\n]{1,15})\[\d+\] (?:trap )?|sending SIG)(?<kind>general protection|invalid opcode|divide error|int3|SEGV|BUS|ILL)/,
    {
      labels: ["process", "kind"],
      yes: [
        "traps: snmpd[812] general protection fault ip:7f1c sp:7ffc error:0 in libc.so[7f1c+26000]",
        "traps: netmon[4021] trap invalid opcode ip:5581 sp:7ffd error:0 in netmon[5581+1000]",
        "do_page_fault(): sending SIGSEGV to uhttpd for invalid read access from 0000001c",
      ],
      no: ["netmon: sending SIGHUP to child 812", "general protection fault: 0000 [#1] SMP"],
    },
  ),

  rule(
    "machine_check",
    /\[Hardware Error\]: (?<what>Machine check events logged|event severity: \w+)/,
    {
      labels: ["what"],
      device: ["model"],
      yes: [
        "mce: [Hardware Error]: Machine check events logged",
        "{1}[Hardware Error]: event severity: corrected",
      ],
      no: ["mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 4: b200000000070f0f"],
    },
  ),

  rule("memory_error", /EDAC MC\d+: (?<count>\d{1,9}) (?<type>CE|UE) /, {
    labels: ["type"],
    value: "count",
    device: ["model"],
    yes: [
      "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0)",
      "EDAC MC1: 2 UE memory scrubbing error on any memory (page:0x0 offset:0x0 grain:8)",
    ],
    no: ["EDAC MC: Ver: 3.0.0", "EDAC MC0: Giving out device to module sbridge_edac controller"],
  }),

  rule(
    "firmware_failure",
    /Direct firmware load for (?<file>\S{1,80}) failed with error (?<error>-\d{1,4})/,
    {
      labels: ["file", "error"],
      device: ["model"],
      yes: [
        "platform regulatory.0: Direct firmware load for regulatory.db failed with error -2",
        "usb 5-1: Direct firmware load for rtlwifi/rtl8712u.bin failed with error -2",
      ],
      no: ["bluetooth hci0: Direct firmware load for intel/ibt-12-16.sfi was skipped"],
    },
  ),

  rule("messages_suppressed", /(?<source>\w{1,40}): (?<count>\d{1,9}) callbacks suppressed/, {
    labels: ["source"],
    value: "count",
    yes: ["net_ratelimit: 127 callbacks suppressed", "warn_alloc: 3 callbacks suppressed"],
    no: ["net_ratelimit: callbacks suppressed", "logd: 12 duplicates suppressed"],
  }),

  // --- network ------------------------------------------------------------------------------------
  rule(
    "link_up",
    /(?<![\w.:-])(?<interface>[a-z][\w.@-]{0,14})(?:: | |: NIC | NIC )(?:Copper |SerDes )?(?<!SATA |PCIe )[Ll]ink (?:is )?[Uu]p\b/,
    {
      labels: ["interface"],
      device: ["model"],
      yes: [
        "e1000e 0000:00:19.0 eth0: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx",
        "igb 0000:01:00.0 eth1: igb: eth1 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX",
        "r8169 0000:02:00.0 enp2s0: Link is Up - 1Gbps/Full - flow control rx/tx",
        "mt7530-mdio mdio-bus:1f lan3: Link is Up - 1Gbps/Full - flow control off",
        "bnx2 0000:0b:00.0 eno1: NIC Copper Link is Up, 1000 Mbps full duplex",
        "eth0: link up, 100Mbps, full-duplex, lpa 0x45E1",
      ],
      no: [
        "ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)",
        "imx6q-pcie 1ffc000.pcie: Link up",
        "pcieport 0000:00:1c.4: pciehp: Slot(4): Link Up",
      ],
    },
  ),

  rule(
    "link_down",
    /(?<![\w.:-])(?<interface>[a-z][\w.@-]{0,14})(?:: | |: NIC | NIC )(?:Copper |SerDes )?(?<!SATA |PCIe )[Ll]ink (?:is )?[Dd]own\b/,
    {
      labels: ["interface"],
      device: ["model", "city"],
      yes: [
        "e1000e 0000:00:19.0 eth0: NIC Link is Down",
        "igb 0000:01:00.0 eth1: igb: eth1 NIC Link is Down",
        "r8169 0000:02:00.0 enp2s0: Link is Down",
        "eth0: link down",
      ],
      no: [
        "ata3: SATA link down (SStatus 0 SControl 300)",
        "IPv6: ADDRCONF(NETDEV_UP): eth0: link is not ready",
      ],
    },
  ),

  // The IPv6 stack's word for it; most drivers have said "Link is Up" just before.
  rule("link_ready", /(?<interface>[\w.@-]{1,15}): link becomes ready/, {
    labels: ["interface"],
    yes: [
      "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
      "IPv6: ADDRCONF(NETDEV_CHANGE): wlan1: link becomes ready",
    ],
    no: ["IPv6: ADDRCONF(NETDEV_UP): eth0: link is not ready"],
  }),

  rule(
    "carrier_lost",
    /(?<interface>[\w.@-]{1,15})(?:: carrier lost|: Lost carrier|' has lost the connection)/,
    {
      labels: ["interface"],
      device: ["city"],
      yes: [
        "dhcpcd[512]: eth0: carrier lost",
        "systemd-networkd[233]: eth1: Lost carrier",
        "netifd: Interface 'wan' has lost the connection",
      ],
      no: ["dhcpcd[512]: eth0: carrier acquired", "netifd: Network device 'eth1' link is down"],
    },
  ),

  rule(
    "transmit_timeout",
    /NETDEV WATCHDOG: (?:\S{1,15} \((?<driver>[\w-]{1,32})\)|CPU: \d{1,4}): transmit queue \d{1,4} timed out/,
    {
      labels: ["driver"],
      device: ["model"],
      yes: [
        "NETDEV WATCHDOG: eth0 (r8169): transmit queue 0 timed out",
        "NETDEV WATCHDOG: eth1 (mtk_soc_eth): transmit queue 3 timed out 5012 ms",
        "r8169 0000:02:00.0 eth0: NETDEV WATCHDOG: CPU: 1: transmit queue 0 timed out 5012 ms",
      ],
      no: ["mtk_soc_eth 1b100000.ethernet eth0: transmit timed out"],
    },
  ),

  rule("conntrack_full", /nf_conntrack: table full, dropping packet/, {
    yes: [
      "nf_conntrack: nf_conntrack: table full, dropping packet",
      "nf_conntrack: table full, dropping packet.",
    ],
    no: [
      "nf_conntrack: falling back to vmalloc.",
      "nf_conntrack version 0.5.0 (7952 buckets, 31808 max)",
    ],
  }),

  rule(
    "ppp_down",
    /(?<problem>LCP terminated by peer|No response to \d{1,3} echo-requests|Modem hangup|Timeout waiting for PAD[OS] packets|(?:PAP|CHAP) authentication failed)/,
    {
      labels: ["problem"],
      device: ["city"],
      yes: [
        "pppd[1022]: LCP terminated by peer (Session-Timeout)",
        "pppd[1022]: No response to 5 echo-requests",
        "pppd[1022]: Timeout waiting for PADO packets",
        "pppd[1022]: PAP authentication failed",
      ],
      no: ["pppd[1022]: PAP authentication succeeded", "pppd[1022]: Connection terminated."],
    },
  ),

  // --- wifi ---------------------------------------------------------------------------------------
  rule(
    "wifi_deauth",
    /(?<interface>[\w.-]{1,15}): (?:STA [\da-fA-F:]{17} IEEE 802\.11: )?(?<kind>deauthenticat|disassociat)(?:ed|ing)\b(?: from [\da-fA-F:]{17})?(?: by local choice)?(?:(?: \(Reason: (?:\d{1,5}=)?| due to )(?<reason>\w{1,40}(?: \w{1,20}){0,4}))?/,
    {
      labels: ["interface", "kind", "reason"],
      device: ["model"],
      yes: [
        "wlan0: deauthenticated from 02:00:00:00:01:00 (Reason: 3=DEAUTH_LEAVING)",
        "wlan0: deauthenticating from 02:00:00:00:01:00 by local choice (Reason: 3=DEAUTH_LEAVING)",
        "wlan1: disassociated from 02:00:00:00:01:00 (Reason: 8)",
        "hostapd: wlan0: STA 02:00:00:00:02:11 IEEE 802.11: deauthenticated due to local deauth request",
        "hostapd: wlan0: STA 02:00:00:00:02:11 IEEE 802.11: disassociated due to inactivity",
        "hostapd: wlan0: STA 02:00:00:00:02:11 IEEE 802.11: disassociated",
      ],
      no: [
        "hostapd: wlan0: STA 02:00:00:00:02:11 MLME: MLME-DEAUTHENTICATE.indication(02:00:00:00:02:11, 3)",
        "hostapd: wlan0: AP-STA-DISCONNECTED 02:00:00:00:02:11",
        "wlan0: authenticate with 02:00:00:00:01:00 (local address=02:00:00:00:03:00)",
      ],
    },
  ),

  rule(
    "wifi_assoc",
    /(?<interface>[\w.-]{1,15}): (?:STA [\da-fA-F:]{17} IEEE 802\.11: )?associated(?: \(aid \d{1,4}\)|$)/,
    {
      labels: ["interface"],
      yes: [
        "wlan0: associated",
        "hostapd: wlan0: STA 02:00:00:00:02:11 IEEE 802.11: associated (aid 3)",
        "hostapd: wlan1: STA 02:00:00:00:02:11 IEEE 802.11: associated",
      ],
      no: [
        "hostapd: wlan0: STA 02:00:00:00:02:11 IEEE 802.11: disassociated",
        "wlan0: RX AssocResp from 02:00:00:00:01:00 (capab=0x1411 status=0 aid=3)",
        "nvram: associated with board 7",
      ],
    },
  ),

  rule(
    "wifi_firmware_crash",
    /(?<driver>ath1[0-2]k_\w{2,5}|brcmfmac|iwlwifi)\b[^\n]{0,40}?: (?:firmware crashed!|brcmf_fw_crashed: |Microcode SW error detected)/,
    {
      labels: ["driver"],
      device: ["model"],
      yes: [
        "ath10k_pci 0000:01:00.0: firmware crashed! (guid 5d0f1a7c-6e2b-4c33-9d1a-000000000000)",
        "ieee80211 phy0: brcmfmac mmc1:0001:1: brcmf_fw_crashed: Firmware has halted or crashed",
        "iwlwifi 0000:00:14.3: Microcode SW error detected. Restarting 0x0.",
      ],
      no: ["ath10k_pci 0000:01:00.0: firmware ver 10.2.4-1.0-00047 api 5 features no-p2p,raw-mode"],
    },
  ),

  rule("wifi_radar", /(?<interface>[\w.-]{1,15}): DFS-RADAR-DETECTED freq=(?<freq>\d{4})/, {
    labels: ["freq"],
    device: ["city"],
    yes: [
      "hostapd: wlan1: DFS-RADAR-DETECTED freq=5500 ht_enabled=1 chan_offset=0 chan_width=3 cf1=5530",
      "wlan0: DFS-RADAR-DETECTED freq=5260 ht_enabled=1 chan_offset=1 chan_width=1 cf1=5270 cf2=0",
    ],
    no: ["hostapd: wlan1: DFS-CAC-COMPLETED success=1 freq=5500 radar_detected=0"],
  }),

  // --- names and addresses ------------------------------------------------------------------------
  rule(
    "dhcp_lease",
    /(?:lease of [\d.]{7,15} obtained|bound to [\d.]{7,15} -- renewal in|: leased [\d.]{7,15} for) ?/,
    {
      device: ["city"],
      yes: [
        "udhcpc: lease of 192.0.2.17 obtained from 192.0.2.1, lease time 43200",
        "udhcpc: lease of 192.0.2.17 obtained, lease time 3600",
        "dhclient[811]: bound to 192.0.2.17 -- renewal in 1634 seconds.",
        "dhcpcd[512]: eth0: leased 192.0.2.17 for 86400 seconds",
      ],
      no: ["named[902]: bound to 127.0.0.1 port 53", "udhcpc: lease of 192.0.2.17 lost"],
    },
  ),

  rule(
    "dhcp_given",
    /(?:DHCPACK\((?<interface>[\w.@-]{1,15})\)|DHCPACK on|udhcpd[^ ]{0,8}: [Ss]ending ACK to) [\d.]{7,15}/,
    {
      labels: ["interface"],
      yes: [
        "dnsmasq-dhcp[1211]: DHCPACK(br-lan) 192.168.1.114 02:00:00:00:02:11 phone",
        "udhcpd: sending ACK to 192.168.1.114",
        "dhcpd: DHCPACK on 10.0.0.5 to 02:00:00:00:02:11 (tablet) via eth1",
      ],
      no: [
        "dnsmasq-dhcp[1211]: DHCPREQUEST(br-lan) 192.168.1.114 02:00:00:00:02:11",
        "dnsmasq-dhcp[1211]: DHCPINFORM(br-lan) 192.168.1.114 02:00:00:00:02:11",
      ],
    },
  ),

  rule(
    "dhcp_failure",
    /(?<problem>no lease, failing|no lease, forking|No DHCPOFFERS received|DHCPNAK|no address available|no free leases|[Ss]ending NAK|no IP addresses to give)/,
    {
      labels: ["problem"],
      device: ["city"],
      yes: [
        "udhcpc: no lease, failing",
        "udhcpc: no lease, forking to background",
        "dhclient[811]: No DHCPOFFERS received.",
        "dnsmasq-dhcp[1211]: DHCPNAK(br-lan) 192.168.1.9 02:00:00:00:02:11 wrong network",
        "dnsmasq-dhcp[1211]: DHCPDISCOVER(br-lan) 02:00:00:00:02:11 no address available",
      ],
      no: ["udhcpc: sending discover", "dnsmasq-dhcp[1211]: DHCPOFFER(br-lan) 192.168.1.9"],
    },
  ),

  rule(
    "dns_failure",
    /(?<problem>Temporary failure in name resolution|Name or service not known|Could not resolve host|unable to resolve host|refused to do a recursive query|Maximum number of concurrent DNS queries reached|Using degraded feature set|no servers could be reached|dns server=\S{1,46} error=\w{1,20})/,
    {
      labels: ["problem"],
      device: ["city"],
      yes: [
        "ntpd: pool.example.org: Temporary failure in name resolution",
        "dnsmasq[1209]: nameserver 192.0.2.53 refused to do a recursive query",
        "dnsmasq[1209]: Maximum number of concurrent DNS queries reached (max: 150)",
        "fwup: curl: (6) Could not resolve host: update.example.org",
        "probe: dns server=192.0.2.53 error=timeout",
      ],
      no: ["dnsmasq[1209]: using nameserver 192.0.2.53#53", "probe: dns server=192.0.2.53 ms=12.3"],
    },
  ),

  // --- measurements: lines that programs print so that they become numbers here -------------------
  rule(
    "dns_latency",
    /probe: dns server=(?<server>[\w.:-]{1,46}) ms=(?<ms>\d{1,6}(?:\.\d{1,6})?)/,
    {
      labels: ["server"],
      value: "ms",
      device: ["city"],
      yes: ["probe: dns server=192.0.2.53 ms=12.3", "probe: dns server=2001:db8::53 ms=7"],
      no: ["probe: dns server=192.0.2.53 error=timeout", "probe: dns server=192.0.2.53 ms=-"],
    },
  ),

  // What deploy/device/probe.sh measures, like dns_latency.
  rule(
    "ping_latency",
    /probe: ping server=(?<server>[\w.:-]{1,64}) ms=(?<ms>\d{1,6}(?:\.\d{1,6})?)/,
    {
      labels: ["server"],
      value: "ms",
      device: ["city"],
      yes: ["probe: ping server=192.0.2.1 ms=12.345", "probe: ping server=gw.example.org ms=8"],
      no: ["probe: ping server=192.0.2.1 error=timeout", "probe: dns server=192.0.2.1 ms=12.3"],
    },
  ),

  rule("ping_failure", /probe: ping server=(?<server>[\w.:-]{1,64}) error=/, {
    labels: ["server"],
    device: ["city"],
    yes: [
      "probe: ping server=192.0.2.1 error=timeout",
      "probe: ping server=2001:db8::1 error=timeout",
    ],
    no: ["probe: ping server=192.0.2.1 ms=12.345", "probe: dns server=192.0.2.53 error=failed"],
  }),

  rule(
    "ping_rtt",
    /bytes from (?<target>[\w.:-]{1,64}?)(?: \([\w.:]{2,46}\))?: (?:icmp_)?seq=\d{1,9} ttl=\d{1,3} time=(?<ms>\d{1,6}(?:\.\d{1,6})?) ms/,
    {
      labels: ["target"],
      value: "ms",
      device: ["city"],
      yes: [
        "64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=12.3 ms",
        "ping: 64 bytes from gw.example.org (192.0.2.1): icmp_seq=7 ttl=57 time=8 ms",
        "64 bytes from 192.0.2.1: seq=0 ttl=64 time=0.431 ms",
        "64 bytes from 2001:db8::1: icmp_seq=1 ttl=58 time=14.02 ms",
      ],
      no: [
        "From 192.0.2.254 icmp_seq=3 Destination Host Unreachable",
        "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.",
      ],
    },
  ),

  rule(
    "ping_loss",
    /packets transmitted, \d{1,9} (?:packets )?received, (?:\+\d+ errors, )?(?<percent>\d{1,3}(?:\.\d{1,6})?)% packet loss/,
    {
      value: "percent",
      device: ["city"],
      yes: [
        "5 packets transmitted, 4 received, 20% packet loss, time 4006ms",
        "ping: 3 packets transmitted, 3 packets received, 0% packet loss",
        "8 packets transmitted, 0 received, +4 errors, 100% packet loss, time 7150ms",
      ],
      no: ["5 packets transmitted, 4 received, +1 duplicates", "qos: 3% packet loss assumed"],
    },
  ),

  rule(
    "temperature",
    /(?<sensor>[\w.-]{1,24})(?: temperature[:=]? | celsius=)(?<celsius>-?\d{1,3}(?:\.\d{1,3})?)(?: C\b| degrees|$)/,
    {
      labels: ["sensor"],
      value: "celsius",
      device: ["model"],
      yes: [
        "probe: sensor=cpu celsius=54.2",
        "fanctl: board temperature: 48 C",
        "fanctl: wifi1 temperature -3.5 C",
      ],
      no: [
        "CPU0: Core temperature/speed normal",
        "thermal thermal_zone0: critical temperature reached (105 C), shutting down",
        "smartd[702]: Device: /dev/sda, Temperature changed 3 Celsius to 44 Celsius",
      ],
    },
  ),

  rule("fan_speed", /(?<fan>fan\w{0,12})(?: speed[:=]? | rpm=)(?<rpm>\d{1,6})\b/, {
    labels: ["fan"],
    value: "rpm",
    device: ["model"],
    yes: ["fanctl: fan1 speed 2340 rpm", "probe: fan2 rpm=1180", "fanctl: fan speed: 900"],
    no: ["fanctl: fan1 speed control is manual", "hwmon hwmon2: fan1 speed sensor not found"],
  }),

  rule(
    "thermal",
    /(?<problem>clock throttled|[Cc]ritical temperature reached|Temperature too high)/,
    {
      labels: ["problem"],
      device: ["model"],
      yes: [
        "CPU0: Core temperature above threshold, cpu clock throttled (total events = 1)",
        "thermal thermal_zone0: cpu-thermal: critical temperature reached, shutting down",
        "reboot: HARDWARE PROTECTION shutdown (Temperature too high)",
      ],
      no: [
        "CPU0: Core temperature/speed normal",
        "thermal_sys: Registered thermal governor 'step_wise'",
      ],
    },
  ),

  rule("undervoltage", /(?<what>Under-?voltage detected)!/, {
    labels: ["what"],
    device: ["model"],
    yes: ["hwmon hwmon1: Undervoltage detected!", "Under-voltage detected! (0x00050005)"],
    no: ["hwmon hwmon1: Voltage normalised", "psu: no undervoltage detected since boot"],
  }),

  rule(
    "clock_stepped",
    /(?:System clock was stepped by|time stepped by|adjtimex: stepped by) (?<seconds>[+-]?\d{1,10}(?:\.\d{1,9})?)/,
    {
      value: "seconds",
      yes: [
        "chronyd[433]: System clock was stepped by 1.284113 seconds",
        "ntpd[690]: time stepped by -0.532841",
      ],
      no: [
        "chronyd[433]: System clock wrong by 1.284113 seconds",
        "chronyd[433]: Selected source 192.0.2.7",
      ],
    },
  ),

  // --- disks, flash, USB --------------------------------------------------------------------------
  rule(
    "storage_error",
    /(?<error>[A-Za-z/]{2,16}(?: [a-z]{3,12})?) error, dev (?<disk>[\w-]{1,32}), sector \d{1,20}(?: op 0x[\da-f]{1,4}:\((?<op>\w{1,20})\))?/,
    {
      labels: ["error", "disk", "op"],
      device: ["model"],
      yes: [
        "I/O error, dev sda, sector 3907029040 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0",
        "blk_update_request: I/O error, dev mmcblk0, sector 0",
        "blk_update_request: critical medium error, dev sdb, sector 1953 op 0x1:(WRITE) flags 0x800",
        "print_req_error: I/O error, dev loop0, sector 2",
      ],
      no: [
        "Buffer I/O error on dev sda1, logical block 6, async page read",
        "sd 0:0:0:0: [sda] tag#5 Add. Sense: Unrecovered read error",
      ],
    },
  ),

  rule(
    "fs_error",
    /(?<fs>EXT[234]-fs|BTRFS|UBIFS):? (?:error|critical) \((?:device )?(?<disk>[\w:-]{2,24})/,
    {
      labels: ["fs", "disk"],
      device: ["model"],
      yes: [
        "EXT4-fs error (device mmcblk0p2): ext4_find_entry:1455: inode #2: comm ls: reading directory",
        "BTRFS critical (device sda1): corrupt leaf: root=5 block=30408704 slot=0 ino=256",
        "BTRFS: error (device sda1) in btrfs_commit_transaction:2418: errno=-5 IO failure",
        "UBIFS error (ubi0:1 pid 1): ubifs_read_node: bad node type (255 but expected 1)",
      ],
      no: [
        "BTRFS warning (device loop1): checksum verify failed on 30486528 wanted 0x55 found 0x5f",
        "EXT4-fs (sda1): error count since last fsck: 4",
      ],
    },
  ),

  rule(
    "fs_corruption",
    /(?<fs>XFS|FAT-fs|F2FS-fs) \((?<disk>[\w-]{2,24})\): (?:Metadata corruption|Metadata CRC error|Corruption |Internal error|[Mm]etadata I\/O error|error, |[Ii]nconsistent )/,
    {
      labels: ["fs", "disk"],
      device: ["model"],
      yes: [
        "XFS (sda2): Metadata corruption detected at xfs_agf_read_verify+0xfc/0x120, block 0x1",
        'XFS (nvme0n1p3): metadata I/O error in "xfs_trans_read_buf_map" at daddr 0x2 len 1 error 5',
        "FAT-fs (mmcblk0p1): error, fat_get_cluster: invalid cluster chain (i_pos 0)",
      ],
      no: ["XFS (loop4): Ending clean mount", "FAT-fs (sda1): Volume was not properly unmounted."],
    },
  ),

  rule(
    "fs_readonly",
    /(?<what>Remounting filesystem read-only|forced readonly|switched to read-only mode|Shutting down filesystem)/,
    {
      labels: ["what"],
      device: ["model"],
      yes: [
        "EXT4-fs (mmcblk0p2): Remounting filesystem read-only",
        "BTRFS info (device sda1 state E): forced readonly",
        "UBIFS warning (ubi0:1 pid 812): ubifs_ro_mode.part.0: switched to read-only mode, error -5",
      ],
      no: [
        "EXT4-fs (mmcblk0p1): mounted filesystem with ordered data mode",
        "VFS: Mounted root read-only",
      ],
    },
  ),

  rule(
    "disk_full",
    /(?<program>[\w.-]{1,32})(?:\[\d{1,8}\])?: [^\n]{0,120}?No space left on device/,
    {
      labels: ["program"],
      yes: [
        "logrotate: error: error writing to /var/log/messages: No space left on device",
        'nginx[733]: pwrite() "/var/cache/body" failed (28: No space left on device)',
      ],
      no: ["df: /overlay: no space left", "fwup: space left on device: 12 MB"],
    },
  ),

  rule(
    "mmc_error",
    /(?<host>mmc(?:blk)?\d{1,2}): (?<problem>error -\d{1,4}|Timeout waiting for hardware interrupt|cache flush error|recovery failed|Card stuck)/,
    {
      labels: ["host", "problem"],
      device: ["model"],
      yes: [
        "mmc0: error -110 whilst initialising SD card",
        "mmcblk0: error -110 transferring data, sector 5120, nr 8, cmd response 0x900, card status 0xb00",
        "mmc1: Timeout waiting for hardware interrupt.",
        "mmc0: cache flush error -110",
      ],
      no: ["mmc0: new high speed SDHC card at address aaaa", "mmcblk0: mmc0:aaaa SC16G 14.8 GiB"],
    },
  ),

  rule(
    "flash_error",
    /(?<volume>ubi\d{1,2})(?: error| warning)?: [^\n]{0,80}?(?<problem>ECC error|bit-flip detected|failed to erase|corrupted VID header)/,
    {
      labels: ["volume", "problem"],
      device: ["model"],
      yes: [
        "ubi0 warning: ubi_io_read: error -74 (ECC error) while reading 4096 bytes from PEB 12:345, retry",
        "ubi0: fixable bit-flip detected at PEB 123",
        "ubi1 error: sync_erase: failed to erase PEB 77, error -5",
      ],
      no: [
        "ubi0: scrubbed PEB 12 (LEB 3:44), data moved to PEB 90",
        "ubi0: attached mtd5 (size 100 MiB)",
      ],
    },
  ),

  rule("usb_disconnect", /usb (?<port>[\d.-]{1,20}): USB disconnect/, {
    labels: ["port"],
    device: ["model"],
    yes: [
      "usb 1-1.2: USB disconnect, device number 41",
      "usb 2-1: USB disconnect, address 3",
    ],
    no: [
      "usb 1-1: reset high-speed USB device number 2 using xhci_hcd",
      "modem: usb 2-1: hang-up, no USB disconnect seen",
    ],
  }),

  rule(
    "usb_device_error",
    /usb (?<port>[\w.-]{1,20}): (?<problem>device descriptor read|device not accepting address|unable to enumerate USB device|can't read configurations|can't set config|Cannot enable|over-current)/,
    {
      labels: ["port", "problem"],
      device: ["model"],
      yes: [
        "usb 2-1: device descriptor read/64, error -71",
        "usb 1-1.4: device not accepting address 5, error -71",
        "usb usb1-port1: unable to enumerate USB device",
        "usb 2-1: can't read configurations, error -22",
        "usb usb2-port3: over-current condition",
      ],
      no: [
        "usb 1-1: new full-speed USB device number 3 using xhci_hcd",
        "usb 1-1-port2: attempt power cycle",
      ],
    },
  ),

  // --- programs and people ------------------------------------------------------------------------
  rule(
    "unit_failed",
    /(?<unit>[\w@.\\:-]{1,80}\.(?:service|mount|socket|timer|swap)): Failed with result '(?<result>[\w-]{1,32})'/,
    {
      labels: ["unit", "result"],
      yes: [
        "systemd[1]: collectd.service: Failed with result 'exit-code'.",
        "systemd[1]: mnt-usb\\x2ddisk.mount: Failed with result 'timeout'.",
      ],
      no: [
        "systemd[1]: Failed to start collectd.service - Statistics collection.",
        "systemd[1]: collectd.service: Main process exited, code=exited, status=1/FAILURE",
      ],
    },
  ),

  rule(
    "crash_loop",
    /Instance (?<service>[\w.-]{1,40})::\S{1,40} i?s in a crash loop (?<crashes>\d{1,6}) crashes/,
    {
      labels: ["service"],
      value: "crashes",
      yes: [
        "procd: Instance dnsmasq::cfg01411c s in a crash loop 6 crashes, 0 seconds since last crash",
        "procd: Instance netmon::instance1 is in a crash loop 8 crashes, 1 seconds since last crash",
      ],
      no: [
        "procd: Instance netmon::instance1 pid 812 not stopped on SIGTERM, sending SIGKILL instead",
      ],
    },
  ),

  rule(
    "ssh_failure",
    /(?:Failed (?:password|publickey|keyboard-interactive\/pam) for (?:invalid user )?|Bad (?:PAM )?password attempt for '|Login attempt for nonexistent user)(?<user>[^' \n]{0,32})'? from /,
    {
      labels: ["user"],
      yes: [
        "sshd[4021]: Failed password for root from 192.0.2.9 port 4242 ssh2",
        "sshd[4021]: Failed password for invalid user admin from 192.0.2.9 port 4242 ssh2",
        "dropbear[812]: Bad password attempt for 'root' from 192.0.2.9:4242",
        "dropbear[812]: Bad PAM password attempt for 'foobar' from 192.0.2.9:49242",
        "dropbear[812]: Login attempt for nonexistent user from 192.0.2.9:49906",
      ],
      no: [
        "sshd[4021]: Postponed publickey for deploy from 192.0.2.9 port 4242 ssh2 [preauth]",
        "sshd[4021]: Failed to allocate internet-domain X11 display socket.",
        "sshd[4021]: Accepted password for root from 192.0.2.9 port 4242 ssh2",
      ],
    },
  ),

  // logos says so when it has dropped lines for being too many.
  rule(
    "logos_dropped",
    /(?:(?<limit>burst|daily) limit: )?\b(?<count>\d{1,9}) messages were dropped/,
    {
      labels: ["limit"],
      value: "count",
      yes: [
        "conman: W: burst limit: 12 messages were dropped.",
        "conman: W: daily limit: 48211 messages were dropped.",
        "logos: 7 messages were dropped",
      ],
      no: [
        "conman: W: burst limit: dropping messages to prevent overflow (1666 bytes/sec).",
        "conman: I: burst notice: 12 messages would have been dropped.",
      ],
    },
  ),

  // --- programs that log structure ----------------------------------------------------------------
  // Suricata's eve.json by syslog.
  json("ids_alert", {
    where: { event_type: "alert" },
    labels: { category: "alert.category", action: "alert.action" },
    device: ["model"],
    yes: [
      'suricata[812]: {"timestamp":"2026-11-22T20:15:01.124+0000","flow_id":77,"event_type":"alert","src_ip":"192.0.2.9","proto":"TCP","alert":{"action":"allowed","signature_id":2010935,"category":"Potentially Bad Traffic","severity":2}}',
      '{"event_type": "alert", "alert": {"action": "blocked", "category": "Misc Attack"}}',
    ],
    no: [
      'suricata[812]: {"timestamp":"2026-11-22T20:15:01.124+0000","event_type":"stats","stats":{"uptime":86400}}',
      "suricata[812]: event_type alert is not enabled",
    ],
  }),

  // dockerd, containerd, k3s.
  logfmt("container_engine_error", {
    where: { level: ["error", "fatal", "panic"], time: /^\d{4}-\d\d-\d\dT/, msg: /./ },
    labels: ["level"],
    device: ["model"],
    yes: [
      'dockerd[700]: time="2026-11-22T20:15:01.124581943Z" level=error msg="Handler for POST /v1.43/containers/create returned error: no such image"',
      'k3s[911]: time="2026-11-22T20:15:01Z" level=fatal msg="starting kubernetes: preparing server: \\"database\\" is locked"',
    ],
    no: [
      'dockerd[700]: time="2026-11-22T20:15:01.124581943Z" level=info msg="Daemon has completed initialization"',
      "conman: level=error means that the modem is off",
    ],
  }),

  // How many commands were in flight when a disk stopped answering: bits of a hexadecimal number.
  mapper("ata_exception", [": exception Emask 0x"], (text) => {
    const [, port, inFlight] = /(ata\d{1,3})\S{0,4}: exception Emask 0x\w+ SAct 0x([\da-f]{1,8}) /
      .exec(text) ?? [];
    if (port === undefined) return null;
    const bits = parseInt(inFlight!, 16).toString(2).replaceAll("0", "");
    return { labels: { port }, value: bits.length };
  }, {
    labels: ["port"],
    value: "commands in flight",
    device: ["model"],
    yes: [
      "ata3.00: exception Emask 0x10 SAct 0x20001 SErr 0x280100 action 0x6 frozen",
      "ata1: exception Emask 0x50 SAct 0x0 SErr 0x40d0800 action 0xe frozen",
    ],
    no: [
      "ata3.00: cmd 60/08:88:00:28:e3/00:00:1d:00:00/40 tag 17 ncq dma 4096 in",
      "ata3: exception Emask 0x10 while the log was cut",
    ],
  }),
];
