#!/bin/sh
# What a device measures of its network and of itself, as lines for the rules. busybox will do.
#
#     probe.sh [-1] [-e SECONDS] [-n NAME] [-d SERVER]... [TARGET]...
#
#     -1           once, in place of until it is stopped
#     -e SECONDS   60: once in so many seconds, more or less: not all devices at once
#     -n NAME      example.org: what name servers are asked for
#     -d SERVER    a name server to ask; without any, the one of /etc/resolv.conf
#     TARGET       what to ping
#
# | line | what |
# |------|------|
# | `ping server=TARGET ms=12.345` | round trip; `error=timeout` in place of ms |
# | `dns server=SERVER ms=7.1` | from the question to the answer, with the start of nslookup; or `error=failed` |
# | `sensor=NAME celsius=54.2` | each thermal zone; without any, each sensor of hwmon |
# | `fan1_CHIP rpm=1180` | each fan |
#
# A machine without a sensor says nothing of it. `logmill-agent logos probe -- probe.sh ...` puts
# `probe: ` before each line.
set -u
once=
every=60
name=example.org
servers=
while getopts 1e:n:d: option; do
  case $option in
  1) once=1 ;;
  e) every=$OPTARG ;;
  n) name=$OPTARG ;;
  d) servers="$servers $OPTARG" ;;
  *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
# To try it out.
sys=${SYS:-/sys}
resolv=${RESOLV_CONF:-/etc/resolv.conf}
# Seconds without an answer.
patience=2

# Microseconds, of whatever clock is finest here; the last one has steps of 10 ms.
now_us() {
  if [ -n "${EPOCHREALTIME:-}" ]; then
    time=$EPOCHREALTIME
    echo "${time%[.,]*}${time#*[.,]}"
  else
    time=$(date +%s%6N)
    case $time in
    *[!0-9]*)
      read -r time _ </proc/uptime
      echo "${time%.*}${time#*.}0000"
      ;;
    *) echo "$time" ;;
    esac
  fi
}

# 12345 -> 12.3
tenths() {
  sign=
  number=$1
  [ "$number" -lt 0 ] && sign=- && number=$((-number))
  echo "$sign$((number / 1000)).$((number % 1000 / 100))"
}

# What a label may be made of, and not too long.
word() { printf %s "$1" | tr -c 'A-Za-z0-9_.-' '_' | cut -c 1-24; }

ping_one() {
  # "time=12.3 ms" in all of them.
  ms=$(ping -c 1 -W $patience "$1" 2>/dev/null | sed -n 's/.*time=\([0-9.]*\) *ms.*/\1/p' | head -n 1)
  if [ -n "$ms" ]; then echo "ping server=$1 ms=$ms"; else echo "ping server=$1 error=timeout"; fi
}

dns_one() {
  start=$(now_us)
  if nslookup -timeout=$patience -retry=1 "$name" "$1" >/dev/null 2>&1; then
    took=$(($(now_us) - start))
    # The clock was set meanwhile.
    [ $took -ge 0 ] && [ $took -lt 60000000 ] && echo "dns server=$1 ms=$(tenths $took)"
  else
    echo "dns server=$1 error=failed"
  fi
}

temperatures() {
  none=1
  for zone in "$sys"/class/thermal/thermal_zone*; do
    if read -r value 2>/dev/null <"$zone/temp" && read -r type <"$zone/type"; then
      none=
      echo "sensor=$(word "$type") celsius=$(tenths "$value")"
    fi
  done
  [ -n "$none" ] || return
  for input in "$sys"/class/hwmon/hwmon*/temp*_input; do
    read -r value 2>/dev/null <"$input" || continue
    chip=$(cat "${input%/*}/name")
    label=$(cat "${input%_input}_label" 2>/dev/null) || label=${input##*/} label=${label%_input}
    echo "sensor=$(word "${chip}_$label") celsius=$(tenths "$value")"
  done
}

fans() {
  for input in "$sys"/class/hwmon/hwmon*/fan*_input; do
    read -r rpm 2>/dev/null <"$input" || continue
    fan=${input##*/}
    # fan1 alone would be many chips'.
    chip=$(tr -c 'A-Za-z0-9\n' '_' <"${input%/*}/name" | cut -c 1-7)
    echo "${fan%_input}_$chip rpm=$rpm"
  done
}

round() {
  for target; do ping_one "$target"; done
  for server in ${servers:-$(sed -n 's/^nameserver *//p' "$resolv" 2>/dev/null | head -n 1)}; do
    dns_one "$server"
  done
  temperatures
  fans
}

# A tenth more or less; the process id is as good as random here.
while :; do
  round "$@"
  [ -z "$once" ] || break
  sleep $((every * 9 / 10 + $$ % (every / 5 + 1)))
done
