/* Devices, as they are given to QEMU's -device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/config/device.h"
#include "tests/unit/json_check.h"

static void a_device_is_read_as_qemu_does(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_json(device_parse("vfio-pci,host=0000:3b:00.1,id=hca0,bus=rp1", &err),
                "{\"bus\":\"rp1\",\"driver\":\"vfio-pci\",\"host\":\"0000:3b:00.1\",\"id\":"
                "\"hca0\"}");
    assert_json(device_parse("x,id=a,path=/a,,b=c", &err),
                "{\"driver\":\"x\",\"id\":\"a\",\"path\":\"/a,b=c\"}");
}

static void wrong_devices_are_refused(void **state)
{
    static const char *const wrong[] = {"",         ",id=a",           "id=a",      "x",
                                        "x,id=",    "x,id=a,",         "x,id=a,=b", "x,id=a,id=b",
                                        "x,id=a,b", "x,id=a,driver=y", "x,id=\xff"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        json_t *device = device_parse(wrong[i], &err);
        if (device != NULL) {
            fail_msg("\"%s\" was accepted", wrong[i]);
        }
        assert_string_equal(ninja_error_class_name(err.class), "Device");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_read_as_qemu_does),
        cmocka_unit_test(wrong_devices_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
